//! Buckets themselves: `ListBuckets` shows what the client may see under the names that it knows; the rest passes.

#![expect(clippy::format_push_string, reason = "the XML is short, and reads best as it is written")]

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, Method, Response, StatusCode};
use quick_xml::Reader;
use quick_xml::events::Event;

use super::access::{Place, spoken_to_by};
use super::error::{Error, escape};
use super::headers::client_response;
use super::list::push_reference;
use super::request::{Principal, Request};
use super::service::xml;
use super::{Front, headers};
use crate::upstream::{self, Body, Upstream};

/// The longest list of buckets that is taken, in bytes.
const MAX_LIST: usize = 16 << 20;
/// Buckets of one answer, as in S3.
const MOST: usize = 10_000;

impl Front {
    pub(super) async fn list_buckets(&self, request: Request) -> Result<Response<Body>, Error> {
        let document = self.group.document();
        let sees = |bucket: &str| match &request.principal {
            // Whatever the storage shows to everybody.
            Principal::Anonymous | Principal::Console => true,
            Principal::Key(key) => document.credential(key).is_some_and(|credential| credential.sees(bucket)),
        };
        let mut stored: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let home = self.upstreams.home();
        let asked = spoken_to_by(&request.principal, &document, home)?;
        let (of_home, owner) = self.buckets_of(&asked).await?;
        stored.insert(home.name().to_owned(), of_home);
        let mut shown = BTreeMap::new();
        for (name, created) in &stored[home.name()] {
            if sees(name) && self.place(&document, name).is_ok_and(|place| is_itself(&place, home, name)) {
                shown.insert(name.clone(), created.clone());
            }
        }
        let mapped = document.buckets.iter().filter_map(|(name, settings)| Some((name, settings.mapping.as_ref()?)));
        for (name, mapping) in mapped.filter(|(name, _)| sees(name)) {
            let Some(upstream) = self.upstreams.get(&mapping.backend) else { continue };
            if !stored.contains_key(&mapping.backend) {
                let asked = spoken_to_by(&request.principal, &document, upstream)?;
                stored.insert(mapping.backend.clone(), self.buckets_of(&asked).await?.0);
            }
            if let Some(created) = stored[&mapping.backend].get(&mapping.backing_bucket) {
                shown.insert(name.clone(), created.clone());
            }
        }
        if let Some(prefix) = request.query("prefix") {
            shown.retain(|name, _| name.starts_with(prefix));
        }
        let page = Page::read(&request)?;
        if let Some(after) = &page.after {
            shown.retain(|name, _| name > after);
        }
        let more = shown.len() > page.most;
        let next = shown.keys().take(page.most).next_back().filter(|_| more).cloned();
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <ListAllMyBucketsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Owner><ID>{}</ID>\
             <DisplayName>{}</DisplayName></Owner><Buckets>",
            escape(&owner.id),
            escape(&owner.name),
        );
        for (name, created) in shown.into_iter().take(page.most) {
            text.push_str(&format!(
                "<Bucket><Name>{}</Name><CreationDate>{}</CreationDate></Bucket>",
                escape(&name),
                escape(&created)
            ));
        }
        text.push_str("</Buckets>");
        if let Some(prefix) = request.query("prefix") {
            text.push_str(&format!("<Prefix>{}</Prefix>", escape(prefix)));
        }
        if let Some(next) = next {
            text.push_str(&format!("<ContinuationToken>{}</ContinuationToken>", URL_SAFE_NO_PAD.encode(next)));
        }
        text.push_str("</ListAllMyBucketsResult>");
        Ok(xml(StatusCode::OK, text))
    }

    /// Names and times of creation of a storage's buckets, and whose they are.
    async fn buckets_of(&self, upstream: &Upstream) -> Result<(BTreeMap<String, String>, Owner), Error> {
        let (mut buckets, mut token) = (BTreeMap::new(), None::<String>);
        loop {
            let query = token.as_deref().map(|token| ("continuation-token", token));
            let request = upstream::request(Method::GET, upstream::uri("", None, query.as_slice()));
            let response = self.send(upstream, request).await?;
            if !response.status().is_success() {
                return Err(Error::unseen(response.status(), "The storage's buckets could not be listed"));
            }
            let body = upstream::collect(response.into_body(), MAX_LIST).await;
            let body = body.map_err(|error| Error::slow_down("The storage broke off. Try again.").because(error))?;
            let body = body.ok_or_else(|| Error::internal("The storage's list of buckets is too long."))?;
            let unreadable = |error| Error::internal("The storage's list of buckets cannot be read.").because(error);
            let listed = parse(&body).map_err(unreadable)?;
            let before = buckets.len();
            buckets.extend(listed.buckets);
            // A page that brings nothing new is the last, whatever it says.
            token = listed.next.filter(|_| buckets.len() > before);
            if token.is_none() {
                return Ok((buckets, listed.owner));
            }
        }
    }

    pub(super) async fn head_bucket(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        let due = self.may_be_due(&granted.document, &request.bucket);
        let mut response = self.pass_granted(request, &granted).await?;
        // A service says itself where it is, or does not: some clients go there.
        if response.status().is_success()
            && granted.place.upstream.region().is_none()
            && let Ok(region) = HeaderValue::from_str(&self.settings.region)
        {
            response.headers_mut().insert("x-amz-bucket-region", region);
        }
        if due {
            // Of ciphertext.
            response.headers_mut().remove("x-rgw-bytes-used");
        }
        Ok(response)
    }

    pub(super) async fn create_bucket(&self, request: Request) -> Result<Response<Body>, Error> {
        let bucket = request.bucket.clone();
        let document = self.group.document();
        self.allow(&document, &request, crate::group::Action::Manage, &bucket)?;
        if self.place(&document, &bucket).is_err() {
            return Err(Error::new(
                StatusCode::CONFLICT,
                "BucketAlreadyExists",
                "The requested bucket name is not available.",
            ));
        }
        let mut response = self.pass(request).await?;
        if response.status().is_success()
            && let Ok(location) = HeaderValue::from_str(&format!("/{bucket}"))
        {
            response.headers_mut().insert("location", location);
        }
        Ok(response)
    }

    pub(super) async fn delete_bucket(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        let bucket = request.bucket.clone();
        let response = self.pass_granted(request, &granted).await?;
        let settings = granted.document.buckets.get(&bucket);
        if response.status().is_success() && settings.is_some_and(|settings| settings.mapping.is_none()) {
            // Settings that outlive their bucket do no harm: they only encrypt more.
            let forgotten = self.group.edit(|document| {
                document.forget_bucket(&bucket);
                Ok(())
            });
            if let Err(error) = forgotten.await {
                tracing::warn!(%error, "settings of a deleted bucket are kept");
            }
        }
        Ok(response)
    }

    pub(super) async fn bucket_location(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        let head = headers::to_storage(&request.headers);
        let response = self.forward(&request, &granted, head, upstream::empty()).await?;
        // Of a service the answer that its clients would have without us: they may sign for any region here.
        if !response.status().is_success() || granted.place.upstream.region().is_some() {
            let (head, body) = response.into_parts();
            return Ok(client_response(head.status, headers::to_client(&head.headers), body));
        }
        let region = if self.settings.region == "us-east-1" { "" } else { &self.settings.region };
        Ok(xml(
            StatusCode::OK,
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LocationConstraint \
                 xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{}</LocationConstraint>",
                escape(region)
            ),
        ))
    }
}

/// Whether a bucket lies under its own name in the home backend: mapped ones are shown by their mapping.
fn is_itself(place: &Place, home: &Upstream, name: &str) -> bool {
    place.upstream.name() == home.name() && place.bucket == name
}

/// What of a list of buckets is asked for, as S3's `ListBuckets` has it.
struct Page {
    most: usize,
    /// The last one that was had before.
    after: Option<String>,
}

impl Page {
    fn read(request: &Request) -> Result<Self, Error> {
        let most = match request.query("max-buckets").map(str::parse) {
            None => MOST,
            Some(Ok(most)) if (1..=MOST).contains(&most) => most,
            Some(_) => return Err(Error::invalid_argument("max-buckets must be a number between 1 and 10000.")),
        };
        let decode = |token: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok();
        let after = request.query("continuation-token").map(|token| {
            decode(token).ok_or_else(|| Error::invalid_argument("The continuation token provided is incorrect."))
        });
        Ok(Self { most, after: after.transpose()? })
    }
}

/// Whose a storage's buckets are.
#[derive(Default)]
struct Owner {
    id: String,
    name: String,
}

/// One page of a storage's buckets.
#[derive(Default)]
struct Listed {
    buckets: BTreeMap<String, String>,
    owner: Owner,
    next: Option<String>,
}

fn parse(body: &[u8]) -> Result<Listed, quick_xml::Error> {
    let mut reader = Reader::from_reader(body);
    let (mut listed, mut field, mut text) = (Listed::default(), Vec::new(), String::new());
    let (mut name, mut created, mut inside) = (String::new(), String::new(), false);
    loop {
        match reader.read_event()? {
            Event::Start(start) => {
                field = start.local_name().as_ref().to_vec();
                inside |= field == b"Bucket";
                text.clear();
            }
            Event::Text(part) => text.push_str(&part.decode()?),
            Event::GeneralRef(reference) => push_reference(&reference, &mut text)?,
            Event::End(end) => {
                match end.local_name().as_ref() {
                    b"Name" if inside => name.clone_from(&text),
                    b"CreationDate" if inside => created.clone_from(&text),
                    b"ID" if !inside => listed.owner.id.clone_from(&text),
                    b"DisplayName" if !inside => listed.owner.name.clone_from(&text),
                    b"ContinuationToken" if !inside && !text.is_empty() => listed.next = Some(text.clone()),
                    b"Bucket" => {
                        listed.buckets.insert(std::mem::take(&mut name), std::mem::take(&mut created));
                        inside = false;
                    }
                    _ => {}
                }
                field.clear();
            }
            Event::Eof => return Ok(listed),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_whose_the_buckets_are_and_how_it_goes_on() {
        let listed = parse(
            b"<ListAllMyBucketsResult><Owner><ID>1&amp;2</ID><DisplayName>Us</DisplayName></Owner><Buckets>\
              <Bucket><Name>a</Name><CreationDate>2026-01-01T00:00:00Z</CreationDate><Owner><ID>x</ID></Owner></Bucket>\
              </Buckets><ContinuationToken>a</ContinuationToken></ListAllMyBucketsResult>",
        )
        .unwrap();
        assert_eq!((listed.owner.id.as_str(), listed.owner.name.as_str()), ("1&2", "Us"));
        assert_eq!(listed.buckets.into_iter().collect::<Vec<_>>(), [("a".into(), "2026-01-01T00:00:00Z".into())]);
        assert_eq!(listed.next.as_deref(), Some("a"));
    }
}

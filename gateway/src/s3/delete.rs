//! `DeleteObject` and `DeleteObjects`: they pass, and what is known of the objects is forgotten. What they depend on is
//! told to the storage as it has it; see [`conditions`](super::conditions).

mod outcome;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Response, StatusCode};
use quick_xml::events::{BytesText, Event};
use quick_xml::{Reader, Writer};

use super::Front;
use super::access::Granted;
use super::conditions::Deletion;
use super::error::{Error, escape};
use super::headers::{self, client_response};
use super::list::push_reference;
use super::passthrough::md5_of;
use super::request::Request;
use super::service::xml;
use crate::upstream::{self, Body};
use outcome::Deleted;

/// A thousand keys of 1,024 bytes, each of which XML may write six times as long, and their versions.
const MAX_DOCUMENT: usize = 8 << 20;
/// Looks at objects that deletions depend on, at work at once.
const PARALLEL: usize = 16;
/// The most objects that one request deletes, as S3 has it.
const MAX_ENTRIES: usize = 1000;

/// One object that is to be deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Entry {
    key: String,
    version: Option<String>,
    on: Deletion,
}

/// What comes of one: it goes on, with what the storage is to judge, or it is refused.
type Verdict = Result<Deletion, Error>;

impl Front {
    pub(super) async fn delete_object(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        let mut head = headers::to_storage(&request.headers);
        headers::set_conditions(&mut head, self.delete_conditions(&request, &granted).await?);
        let response = self.forward(&request, &granted, head, upstream::empty()).await?;
        if response.status().is_success() {
            let marker = response.headers().get("x-amz-delete-marker").is_some_and(|value| value == "true");
            let version = request.query("versionId");
            let deleted = if marker || version.is_some() { Deleted::Version } else { Deleted::All };
            self.unlearn(&granted, &request.bucket, &request.key, deleted);
            self.footers.forget(&granted.place, &request.key, version);
        }
        let (head, body) = response.into_parts();
        Ok(client_response(head.status, headers::to_client(&head.headers), body))
    }

    pub(super) async fn delete_objects(&self, mut request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        let document = self.small_body(&mut request, MAX_DOCUMENT).await?;
        let malformed = || Error::malformed_xml("The XML you provided was not well-formed.");
        if !document.starts_with(b"<") && !document.starts_with(b"\xef\xbb\xbf<") {
            return Err(malformed());
        }
        let entries = entries(&document).map_err(|error| malformed().because(error))?;
        if entries.len() > MAX_ENTRIES {
            return Err(malformed().because(format!("{} objects in one document", entries.len())));
        }
        if entries.iter().all(|entry| entry.on == Deletion::default()) {
            return self.delete_all(&request, &granted, document).await;
        }
        let verdicts = self.judge_deletions(&request, &granted, &entries).await?;
        let document = rewrite(&document, &verdicts).map_err(|error| malformed().because(error))?;
        let refused: String = entries
            .iter()
            .zip(&verdicts)
            .filter_map(|(entry, verdict)| Some(entry.refusal(verdict.as_ref().err()?)))
            .collect();
        if verdicts.iter().all(Result::is_err) {
            let text =
                format!("<DeleteResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{refused}</DeleteResult>");
            return Ok(xml(StatusCode::OK, format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{text}")));
        }
        let (mut head, body) = self.delete_all(&request, &granted, document.into()).await?.into_parts();
        if refused.is_empty() || head.status != StatusCode::OK {
            return Ok(Response::from_parts(head, body));
        }
        let answer = whole_answer(body).await?;
        let answer = with_refused(&answer, &refused)
            .map_err(|error| Error::internal("The storage's answer to the deletion cannot be read.").because(error))?;
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(answer.len()));
        Ok(client_response(head.status, head.headers, upstream::full(answer)))
    }

    async fn delete_all(
        &self,
        request: &Request,
        granted: &Granted,
        document: bytes::Bytes,
    ) -> Result<Response<Body>, Error> {
        let mut head = headers::to_storage(&request.headers);
        headers::drop_checks(&mut head);
        head.insert("content-md5", md5_of(&document));
        head.insert(CONTENT_LENGTH, HeaderValue::from(document.len()));
        let response = self.forward(request, granted, head, upstream::full(document.clone())).await?;
        let (head, mut body) = response.into_parts();
        if head.status.is_success() && self.may_be_due(&granted.document, &request.bucket) {
            let answer = whole_answer(body).await?;
            for (key, deleted) in outcome::deleted(&document, &answer) {
                self.unlearn(granted, &request.bucket, &key, deleted);
            }
            body = upstream::full(answer);
        }
        Ok(client_response(head.status, headers::to_client(&head.headers), body))
    }

    fn unlearn(&self, granted: &Granted, bucket: &str, key: &str, deleted: Deleted) {
        match deleted {
            Deleted::All => self.ledger.forget(bucket, key),
            Deleted::Version => self.ledger.hide(bucket, key),
        }
        self.footers.forget(&granted.place, key, None);
    }

    /// A verdict on each entry. What cannot be told of one is an error of the whole: nothing is deleted.
    async fn judge_deletions(
        &self,
        request: &Request,
        granted: &Granted,
        entries: &[Entry],
    ) -> Result<Vec<Verdict>, Error> {
        // Futures in a list: the compiler does not find a stream that makes them `Send`.
        let mut looks: Vec<BoxFuture<'_, Verdict>> = Vec::with_capacity(entries.len());
        for Entry { key, version, on } in entries {
            looks.push(Box::pin(self.judge_deletion(request, granted, key, version.as_deref(), on)));
        }
        let mut looking = futures_util::stream::iter(looks).buffered(PARALLEL);
        let mut verdicts = Vec::with_capacity(entries.len());
        while let Some(verdict) = looking.next().await {
            match verdict {
                Err(error) if error.status != StatusCode::PRECONDITION_FAILED => return Err(error),
                verdict => verdicts.push(verdict),
            }
        }
        Ok(verdicts)
    }
}

impl Entry {
    fn refusal(&self, error: &Error) -> String {
        let version = self.version.as_ref().map(|version| format!("<VersionId>{}</VersionId>", escape(version)));
        format!(
            "<Error><Key>{}</Key>{}<Code>{}</Code><Message>{}</Message></Error>",
            escape(&self.key),
            version.unwrap_or_default(),
            error.code,
            escape(&error.message)
        )
    }
}

/// The storage's answer to a deletion, which is about as long as the document.
async fn whole_answer(body: Body) -> Result<bytes::Bytes, Error> {
    let answer = upstream::collect(body, MAX_DOCUMENT).await;
    let answer = answer.map_err(|error| Error::slow_down("The storage broke off. Try again.").because(error))?;
    answer.ok_or_else(|| Error::internal("The storage's answer is too long."))
}

/// The entries of a `Delete` document, in order.
fn entries(document: &[u8]) -> Result<Vec<Entry>, quick_xml::Error> {
    let mut reader = Reader::from_reader(document);
    let (mut entries, mut entry, mut text) = (Vec::new(), None::<Entry>, String::new());
    loop {
        match reader.read_event()? {
            Event::Start(start) => {
                if start.local_name().as_ref() == b"Object" {
                    entry = Some(Entry::default());
                }
                text.clear();
            }
            Event::Text(part) => text.push_str(&part.decode()?),
            Event::CData(part) => text.push_str(&part.decode()?),
            Event::GeneralRef(reference) => push_reference(&reference, &mut text)?,
            Event::End(end) => {
                let text = std::mem::take(&mut text);
                match (end.local_name().as_ref(), &mut entry) {
                    (b"Key", Some(entry)) => entry.key = text,
                    (b"VersionId", Some(entry)) => entry.version = Some(text),
                    (b"ETag", Some(entry)) => entry.on.etag = Some(text),
                    (b"Size", Some(entry)) => entry.on.size = Some(text),
                    (b"LastModifiedTime", Some(entry)) => entry.on.modified = Some(text),
                    (b"Object", _) => entries.extend(entry.take()),
                    _ => {}
                }
            }
            Event::Eof => return Ok(entries),
            _ => {}
        }
    }
}

/// The document without what is refused, and with what the storage is to judge; keys stay as they are written.
fn rewrite(document: &[u8], verdicts: &[Verdict]) -> Result<Vec<u8>, quick_xml::Error> {
    let mut reader = Reader::from_reader(document);
    let mut writer = Writer::new(Vec::with_capacity(document.len()));
    let (mut verdicts, mut refused, mut dropped) = (verdicts.iter(), false, false);
    loop {
        let event = reader.read_event()?;
        match &event {
            Event::Eof => return Ok(writer.into_inner()),
            Event::Start(start) if start.local_name().as_ref() == b"Object" => {
                let verdict = verdicts.next();
                refused = verdict.is_some_and(Result::is_err);
                if let Some(Ok(on)) = verdict {
                    writer.write_event(event)?;
                    for (name, value) in [("ETag", &on.etag), ("Size", &on.size), ("LastModifiedTime", &on.modified)] {
                        if let Some(value) = value {
                            writer.create_element(name).write_text_content(BytesText::new(value))?;
                        }
                    }
                    continue;
                }
            }
            Event::End(end) if end.local_name().as_ref() == b"Object" && refused => {
                refused = false;
                continue;
            }
            Event::Start(start) if is_condition(start.local_name().as_ref()) => dropped = true,
            Event::End(end) if is_condition(end.local_name().as_ref()) => {
                dropped = false;
                continue;
            }
            _ => {}
        }
        if !refused && !dropped {
            writer.write_event(event)?;
        }
    }
}

fn is_condition(name: &[u8]) -> bool {
    matches!(name, b"ETag" | b"Size" | b"LastModifiedTime")
}

/// The storage's answer with these errors in it.
fn with_refused(answer: &[u8], refused: &str) -> Result<Vec<u8>, quick_xml::Error> {
    let mut reader = Reader::from_reader(answer);
    let mut writer = Writer::new(Vec::with_capacity(answer.len() + refused.len()));
    loop {
        match reader.read_event()? {
            Event::Eof => return Ok(writer.into_inner()),
            Event::Empty(empty) if empty.local_name().as_ref() == b"DeleteResult" => {
                let end = empty.to_end().into_owned();
                writer.write_event(Event::Start(empty.into_owned()))?;
                writer.get_mut().extend_from_slice(refused.as_bytes());
                writer.write_event(Event::End(end))?;
            }
            event => {
                if matches!(&event, Event::End(end) if end.local_name().as_ref() == b"DeleteResult") {
                    writer.get_mut().extend_from_slice(refused.as_bytes());
                }
                writer.write_event(event)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "<Delete><Object><Key>a&#1;&amp;</Key><ETag>&quot;x-1&quot;</ETag></Object><Object><Key>b</Key>\
                            <VersionId>v</VersionId><Size>5</Size></Object><Object><Key>c</Key></Object></Delete>";

    #[test]
    fn what_is_refused_leaves_the_document_and_keys_stay_as_they_are_written() {
        let found = entries(DOCUMENT.as_bytes()).unwrap();
        assert_eq!(found[0].on.etag.as_deref(), Some("\"x-1\""));
        assert_eq!((found[1].version.as_deref(), found[1].on.size.as_deref()), (Some("v"), Some("5")));
        assert_eq!((found[2].key.as_str(), &found[2].on), ("c", &Deletion::default()));
        let judged = Deletion { etag: Some("x".into()), ..Deletion::default() };
        let verdicts = [Ok(judged), Err(Error::precondition_failed("no")), Ok(Deletion::default())];
        let rewritten = String::from_utf8(rewrite(DOCUMENT.as_bytes(), &verdicts).unwrap()).unwrap();
        let expected =
            "<Delete><Object><ETag>x</ETag><Key>a&#1;&amp;</Key></Object><Object><Key>c</Key></Object></Delete>";
        assert_eq!(rewritten, expected);
    }

    #[test]
    fn what_was_refused_here_stands_in_the_storages_answer() {
        let refused = Entry { key: "b&".into(), ..Entry::default() }.refusal(&Error::precondition_failed("no"));
        for answer in ["<DeleteResult><Deleted><Key>a</Key></Deleted></DeleteResult>", "<DeleteResult/>"] {
            let answer = String::from_utf8(with_refused(answer.as_bytes(), &refused).unwrap()).unwrap();
            assert!(
                answer.ends_with(
                    "<Key>b&amp;</Key><Code>PreconditionFailed</Code><Message>no</Message></Error></DeleteResult>"
                ),
                "{answer}"
            );
        }
    }
}

//! `ListObjects` (V1 and V2) and `ListObjectVersions`: the storage's page, with the sizes and `ETags` of plaintext.
//!
//! ```text
//! page ─▶ entries ─▶ ledger ── miss ─▶ bounded parallel HEAD ─▶ the same page, entry by entry rewritten
//! ```
//! A bucket that never held an encrypted object passes as it is.

mod browse;
mod page;
mod through;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_LENGTH, ETAG};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::access::{Place, holds_former_objects};
use super::error::Error;
use super::headers::client_response;
use super::request::Request;
use super::write::{kms_of, standing_of};
use super::{Front, headers};
use crate::group::Document;
use crate::state::ledger::{Known, Standing};
use crate::upstream::{self, Body};
use page::{Entry, bare};

pub(super) use page::push_reference;
pub(crate) use through::Tally;

/// HEAD requests at work for one page.
const PARALLEL: usize = 16;
/// How often a HEAD is sent that the storage is too busy for.
const ATTEMPTS: u32 = 3;

/// An entry of a page, as it is to be shown.
#[derive(Debug)]
struct Seen {
    entry: Entry,
    /// None: it cannot be told what it is, and what the storage says stays.
    known: Option<Known>,
    /// It is another object than when the page was made.
    another: bool,
}

impl Seen {
    fn sealed(&self) -> Option<&Known> {
        self.known.as_ref().filter(|known| known.encrypted)
    }
}

/// What a HEAD says of an entry.
enum Look {
    /// What it is.
    Is(Known, Standing),
    /// It was overwritten since the page was made: what there is now.
    Another(Entry, Known, Standing),
    /// It is not ours to see, or not there any more.
    Unseen,
}

impl Front {
    pub(super) async fn list_objects(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        let head = headers::to_storage(&request.headers);
        let response = self.forward(&request, &granted, head, upstream::empty()).await?;
        let (mut head, body) = response.into_parts();
        head.headers = headers::to_client(&head.headers);
        let renamed = granted.place.bucket != request.bucket;
        let looks = head.status == StatusCode::OK && self.may_hold_sealed(&granted.document, &request.bucket).await;
        if head.status != StatusCode::OK || (!looks && !renamed) {
            return Ok(client_response(head.status, head.headers, body));
        }
        let page = page::collect(body).await?;
        let mut seen = Vec::new();
        if looks {
            seen = self.see(&request.bucket, &granted.place, page::entries(&page)?).await?;
        }
        let name = renamed.then_some(request.bucket.as_str());
        let rewritten = page::rewrite(&page, &seen, name).map_err(page::unread)?;
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(rewritten.len()));
        Ok(client_response(head.status, head.headers, upstream::full(rewritten)))
    }

    /// Whether an encrypted object may be on a page that the storage has given. The first of a bucket is noted in the group
    /// document before it is stored: where one may be due and none is noted yet, a look at the document settles it.
    async fn may_hold_sealed(&self, document: &Document, bucket: &str) -> bool {
        if document.holds_sealed(bucket) || holds_former_objects(document, bucket) {
            return true;
        }
        if !self.may_be_due(document, bucket) {
            return false;
        }
        match self.group.look().await {
            Ok(()) => self.group.document().holds_sealed(bucket),
            Err(error) => {
                tracing::warn!(%error, "group document cannot be looked at; the list looks at the storage");
                true
            }
        }
    }

    /// What each entry really is.
    async fn see(&self, bucket: &str, place: &Place, entries: Vec<Entry>) -> Result<Vec<Seen>, Error> {
        let items = entries.iter().map(|entry| (entry.key.clone(), entry.bare_etag().to_owned())).collect();
        let found = self.ledger.look_up(bucket, items).await;
        let mut seen: Vec<Seen> = Vec::with_capacity(entries.len());
        for (entry, found) in entries.into_iter().zip(found) {
            if let Some(found) = found.as_ref().filter(|found| found.current != entry.latest) {
                let standing = if entry.latest { Standing::Latest } else { Standing::Noncurrent };
                self.ledger.record(bucket, &entry.key, entry.bare_etag(), found.known.clone(), standing);
            }
            let known = found.map(|found| found.known).or_else(|| entry.too_short());
            seen.push(Seen { entry, known, another: false });
        }
        // Futures in a list: the compiler does not find a stream that makes them `Send`.
        let mut looks: Vec<BoxFuture<'_, (usize, Result<Look, Error>)>> = Vec::new();
        for (index, miss) in seen.iter().enumerate().filter(|(_, seen)| seen.known.is_none()) {
            looks.push(Box::pin(async move { (index, self.look(place, &miss.entry).await) }));
        }
        let mut looked = futures_util::stream::iter(looks).buffer_unordered(PARALLEL);
        let mut answers = Vec::new();
        while let Some((index, look)) = looked.next().await {
            let look = look?;
            // At once: what follows may fail the page, and the next try then begins with what is known.
            match &look {
                Look::Is(known, standing) => {
                    let entry = &seen[index].entry;
                    self.ledger.record(bucket, &entry.key, entry.bare_etag(), known.clone(), *standing);
                }
                Look::Another(now, known, standing) => {
                    self.ledger.record(bucket, &now.key, now.bare_etag(), known.clone(), *standing);
                }
                Look::Unseen => self.stats.unseen_in_list(),
            }
            answers.push((index, look));
        }
        drop(looked);
        for (index, look) in answers {
            let seen = &mut seen[index];
            match look {
                Look::Is(known, _) => seen.known = Some(known),
                Look::Another(now, known, _) => *seen = Seen { entry: now, known: Some(known), another: true },
                Look::Unseen => {}
            }
        }
        Ok(seen)
    }

    /// One HEAD.
    async fn look(&self, place: &Place, entry: &Entry) -> Result<Look, Error> {
        let version = entry.version.as_deref().map(|version| ("versionId", version));
        let mut attempt = 1;
        let response = loop {
            let target = upstream::uri(&place.bucket, Some(&entry.key), version.as_slice());
            let response = self.send(&place.upstream, upstream::request(Method::HEAD, target)).await?;
            if !upstream::is_overload(response.status()) {
                break response;
            }
            if attempt == ATTEMPTS {
                return Err(Error::slow_down("The storage is busy. Try again."));
            }
            tokio::time::sleep(std::time::Duration::from_millis(100 << attempt)).await;
            attempt += 1;
        };
        match response.status() {
            StatusCode::OK => Ok(looked_at(response.headers(), entry)),
            // Deleted since the page was made; or with keys of the client's own, without which the storage says nothing.
            _ => Ok(Look::Unseen),
        }
    }
}

/// What the head of an object says of an entry.
fn looked_at(head: &HeaderMap, entry: &Entry) -> Look {
    let text = |name| head.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let etag = text(ETAG);
    let another = bare(etag) != entry.bare_etag();
    let mut now = entry.clone();
    if another {
        etag.clone_into(&mut now.etag);
        let Ok(size) = text(CONTENT_LENGTH).parse() else { return Look::Unseen };
        now.size = size;
        if let Some(modified) = list_time(text(http::header::LAST_MODIFIED)) {
            now.modified = modified;
        }
    }
    let known = match headers::sealed_metadata(head) {
        Ok(None) => Known { encrypted: false, size: now.size, kms: None },
        Ok(Some(metadata)) => {
            let Ok(size) = Front::sealed_len(&metadata, now.size) else { return Look::Unseen };
            Known { encrypted: true, size, kms: kms_of(metadata.kms_id()) }
        }
        Err(error) => {
            tracing::warn!(%error, "object in a list has metadata that cannot be read");
            return Look::Unseen;
        }
    };
    let standing = standing_of(head, entry.latest);
    if another { Look::Another(now, known, standing) } else { Look::Is(known, standing) }
}

/// The date of a response's head as lists write it.
fn list_time(date: &str) -> Option<String> {
    let parsed = time::OffsetDateTime::parse(date, &time::format_description::well_known::Rfc2822).ok()?;
    let (date, (hour, minute, second)) = (parsed.date(), parsed.time().as_hms());
    Some(format!("{date}T{hour:02}:{minute:02}:{second:02}.000Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_heads_are_told_as_lists_tell_them() {
        assert_eq!(list_time("Wed, 07 Jan 2026 07:08:09 GMT").as_deref(), Some("2026-01-07T07:08:09.000Z"));
        assert_eq!(list_time("yesterday"), None);
    }
}

//! A page of a bucket for the console: what lies there, and what of it is encrypted.

use http::{HeaderMap, StatusCode};
use quick_xml::Reader;
use quick_xml::events::Event;

use super::super::Front;
use super::super::console::{Answer, Asked, Line, Refused};
use super::super::error::Error;
use super::super::multipart::field;
use super::super::request::Request;
use super::Seen;
use super::page::{self, bare, decode, push_reference, unread};
use crate::state::ledger::Known;
use crate::upstream;

/// One page.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Objects, in order of their keys.
    pub(crate) objects: Vec<Listed>,
    /// What keys further down begin with, up to the delimiter.
    pub(crate) prefixes: Vec<String>,
    /// Where the next page begins; none: this is the last.
    pub(crate) next: Option<String>,
}

/// One object of a page.
#[derive(Debug)]
pub(crate) struct Listed {
    /// Its key.
    pub(crate) key: String,
    /// Bytes as clients see them.
    pub(crate) size: u64,
    /// As clients see it, without quotes.
    pub(crate) etag: String,
    /// When it was stored (RFC 3339).
    pub(crate) modified: String,
    /// None: it cannot be told.
    pub(crate) encrypted: Option<bool>,
    /// The KMS, where that is known.
    pub(crate) kms: Option<String>,
}

impl Front {
    /// A page of a bucket. `asked`: a list of version 2, its keys URL-encoded.
    pub(crate) async fn browse(&self, asked: Asked) -> Result<Page, Refused> {
        let (line, request) = Line::begin(asked);
        let result = match request {
            Ok(request) => self.browse_page(&request).await,
            Err(error) => Err(error),
        };
        self.tell(line, result).await
    }

    async fn browse_page(&self, request: &Request) -> Result<Answer<Page>, Error> {
        let granted = self.grant(request)?;
        let response = self.forward(request, &granted, HeaderMap::new(), upstream::empty()).await?;
        if response.status() != StatusCode::OK {
            return Ok(Answer::Refusal(response));
        }
        let page = page::collect(response.into_body()).await?;
        let coded = field(&page, b"EncodingType").as_deref() == Some("url");
        let found = page::entries(&page)?;
        let seen = if self.may_hold_sealed(&granted.document, &request.bucket).await {
            self.see(&request.bucket, &granted.place, found).await?
        } else {
            // Nothing can have been encrypted here.
            let plain = |size| Some(Known { encrypted: false, size, kms: None });
            found.into_iter().map(|entry| Seen { known: plain(entry.size), entry, another: false }).collect()
        };
        let objects = seen.into_iter().map(|seen| Listed {
            size: seen.size(),
            etag: bare(&seen.etag()).to_owned(),
            encrypted: seen.known.as_ref().map(|known| known.encrypted),
            kms: seen.sealed().and_then(|known| known.kms.as_ref()).map(ToString::to_string),
            key: seen.entry.key,
            modified: seen.entry.modified,
        });
        let more = field(&page, b"IsTruncated").as_deref() == Some("true");
        let next = field(&page, b"NextContinuationToken").filter(|token| more && !token.is_empty());
        let prefixes = prefixes(&page, coded).map_err(unread)?;
        Ok(Answer::Done(StatusCode::OK, Page { objects: objects.collect(), prefixes, next }))
    }
}

/// Every common prefix of a page, in order.
fn prefixes(page: &[u8], coded: bool) -> Result<Vec<String>, quick_xml::Error> {
    let mut reader = Reader::from_reader(page);
    let (mut found, mut text, mut inside) = (Vec::new(), String::new(), false);
    loop {
        match reader.read_event()? {
            Event::Start(start) => {
                inside |= start.local_name().as_ref() == b"CommonPrefixes";
                text.clear();
            }
            Event::Text(part) => text.push_str(&part.decode()?),
            Event::GeneralRef(reference) => push_reference(&reference, &mut text)?,
            Event::End(end) => match end.local_name().as_ref() {
                b"CommonPrefixes" => inside = false,
                b"Prefix" if inside => found.push(if coded { decode(&text) } else { std::mem::take(&mut text) }),
                _ => {}
            },
            Event::Eof => return Ok(found),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_common_prefixes_are_found_and_not_the_one_that_was_asked_for() {
        let page = "<ListBucketResult><Prefix>a%2F</Prefix><CommonPrefixes><Prefix>a%2Fb+c%2F</Prefix></CommonPrefixes>\
                    <CommonPrefixes><Prefix>a%2F&amp;%2F</Prefix></CommonPrefixes></ListBucketResult>";
        assert_eq!(prefixes(page.as_bytes(), true).unwrap(), ["a/b c/", "a/&/"]);
    }
}

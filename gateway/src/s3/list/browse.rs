//! A page of a bucket for the console: what lies there, and what of it is encrypted.

use http::{HeaderMap, StatusCode};
use quick_xml::Reader;
use quick_xml::events::Event;

use super::super::console::{Answer, Asked, Line, Refused};
use super::super::error::Error;
use super::super::multipart::field;
use super::super::request::Request;
use super::super::{Front, headers};
use super::{MAX_PAGE, bare, decode, entries, push_reference, unread};
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
        let page = upstream::collect(response.into_body(), MAX_PAGE).await;
        let page = page.map_err(|error| Error::slow_down("The storage broke off. Try again.").because(error))?;
        let page = page.ok_or_else(|| Error::internal("The storage's page is too long."))?;
        let coded = field(&page, b"EncodingType").as_deref() == Some("url");
        let found = entries(&page, coded).map_err(unread)?;
        let known = if self.may_be_due(&granted.document, &request.bucket) {
            self.sizes(request, &granted, &found).await?.into_iter().map(Some).collect()
        } else {
            // Nothing can have been encrypted here.
            vec![None; found.len()]
        };
        let objects = found.into_iter().zip(known).map(|(entry, known)| {
            let sealed = known.as_ref().and_then(Option::as_ref).filter(|known| known.encrypted);
            let etag = bare(&entry.etag).to_owned();
            Listed {
                size: sealed.map_or(entry.size, |known| known.size),
                etag: if sealed.is_some() { headers::visible_etag_text(&etag) } else { etag },
                encrypted: match &known {
                    None => Some(false),
                    Some(known) => known.as_ref().map(|known| known.encrypted),
                },
                kms: sealed.and_then(|known| known.kms.as_ref()).map(ToString::to_string),
                key: entry.key,
                modified: entry.modified,
            }
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

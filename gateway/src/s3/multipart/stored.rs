//! The parts that the storage has of an upload.

use http::Method;

use super::super::Front;
use super::super::access::Granted;
use super::super::error::Error;
use super::super::list::push_reference;
use super::super::request::Request;
use crate::upstream;

impl Front {
    /// All of them, in the order of their numbers. None where the storage does not tell.
    pub(super) async fn stored_parts(
        &self,
        request: &Request,
        granted: &Granted,
        upstream_id: &str,
    ) -> Result<Option<Vec<Listed>>, Error> {
        let mut parts = Vec::new();
        let mut marker = String::from("0");
        loop {
            let query = [("max-parts", "1000"), ("part-number-marker", marker.as_str()), ("uploadId", upstream_id)];
            let target = upstream::uri(&granted.place.bucket, Some(&request.key), &query);
            let response = self.send(&granted.place.upstream, upstream::request(Method::GET, target)).await?;
            if upstream::is_overload(response.status()) {
                return Err(Error::slow_down("The storage is busy. Try again."));
            }
            if !response.status().is_success() {
                return Ok(None);
            }
            let Some(page) = listed(&self.answer(response.into_body()).await?) else { return Ok(None) };
            let last = page.last().map(|part| part.number);
            let full = page.len() >= 1000;
            parts.extend(page);
            match last {
                Some(last) if full && parts.len() < usize::from(super::LAST) => marker = last.to_string(),
                _ => break,
            }
        }
        Ok(Some(parts))
    }
}

/// A part as the storage lists it.
pub(super) struct Listed {
    pub(super) number: u16,
    pub(super) etag: String,
    pub(super) size: u64,
}

/// The parts of one page of `ListParts`; none where it is no such page.
pub(super) fn listed(document: &[u8]) -> Option<Vec<Listed>> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_reader(document);
    let (mut parts, mut part, mut text, mut ended) = (Vec::new(), None::<Listed>, String::new(), false);
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                if start.local_name().as_ref() == b"Part" {
                    part = Some(Listed { number: 0, etag: String::new(), size: 0 });
                }
                text.clear();
            }
            Event::Text(piece) => text.push_str(&piece.decode().ok()?),
            Event::GeneralRef(reference) => push_reference(&reference, &mut text).ok()?,
            Event::End(end) => match (end.local_name().as_ref(), &mut part) {
                (b"PartNumber", Some(part)) => part.number = text.trim().parse().ok()?,
                (b"ETag", Some(part)) => text.trim().trim_matches('"').clone_into(&mut part.etag),
                (b"Size", Some(part)) => part.size = text.trim().parse().ok()?,
                (b"Part", _) => parts.extend(part.take()),
                (b"ListPartsResult", _) => ended = true,
                _ => {}
            },
            Event::Eof => return ended.then_some(parts),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_page_of_parts_has_none() {
        assert!(listed(b"<Error/>").is_none() && listed(b"<ListPartsResult><Part>").is_none());
        assert!(listed(b"<ListPartsResult></ListPartsResult>").is_some_and(|parts| parts.is_empty()));
    }
}

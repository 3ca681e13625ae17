//! `ListObjects` (V1 and V2) and `ListObjectVersions`: the storage's page, with the sizes and `ETags` of plaintext.
//!
//! ```text
//! page ─▶ entries ─▶ ledger ── miss ─▶ bounded parallel HEAD ─▶ the same page, entry by entry rewritten
//! ```
//! A bucket that never held an encrypted object passes as it is.

mod browse;
mod through;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Response, StatusCode};
use quick_xml::events::{BytesText, Event};
use quick_xml::{Reader, Writer};

use super::access::{Granted, Place};
use super::error::Error;
use super::headers::client_response;
use super::request::Request;
use super::write::kms_of;
use super::{Front, headers};
use crate::state::ledger::Known;
use crate::upstream::{self, Body};

pub(crate) use through::Tally;

/// The longest page that is taken, in bytes: a thousand entries with long keys take about 8 MiB.
const MAX_PAGE: usize = 16 << 20;
/// HEAD requests at work for one page.
const PARALLEL: usize = 16;
/// How often a HEAD is sent that the storage is too busy for.
const ATTEMPTS: u32 = 3;

/// One object of a page.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Entry {
    key: String,
    etag: String,
    size: u64,
    modified: String,
    version: Option<String>,
}

impl Front {
    pub(super) async fn list_objects(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        let head = headers::to_storage(&request.headers);
        let response = self.forward(&request, &granted, head, upstream::empty()).await?;
        let (mut head, body) = response.into_parts();
        head.headers = headers::to_client(&head.headers);
        let renamed = granted.place.bucket != request.bucket;
        if head.status != StatusCode::OK || (!self.may_be_due(&granted.document, &request.bucket) && !renamed) {
            return Ok(client_response(head.status, head.headers, body));
        }
        let page = upstream::collect(body, MAX_PAGE).await;
        let page = page.map_err(|error| Error::slow_down("The storage broke off. Try again.").because(error))?;
        let page = page.ok_or_else(|| Error::internal("The storage's page is too long."))?;
        let coded = request.query("encoding-type") == Some("url");
        let entries = entries(&page, coded).map_err(unread)?;
        let known = self.sizes(&request, &granted, &entries).await?;
        let name = renamed.then_some(request.bucket.as_str());
        let rewritten = rewrite(&page, &known, name).map_err(unread)?;
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(rewritten.len()));
        Ok(client_response(head.status, head.headers, upstream::full(rewritten)))
    }

    /// What each entry really is; none: as the storage says.
    async fn sizes(
        &self,
        request: &Request,
        granted: &Granted,
        entries: &[Entry],
    ) -> Result<Vec<Option<Known>>, Error> {
        let items = entries.iter().map(|entry| (entry.key.clone(), bare(&entry.etag).to_owned())).collect();
        let mut known = self.ledger.look_up(&request.bucket, items).await;
        let misses: Vec<usize> = (0..entries.len()).filter(|index| known[*index].is_none()).collect();
        let mut looked = futures_util::stream::iter(misses)
            .map(|index| async move { (index, self.look(&granted.place, &entries[index]).await) })
            .buffer_unordered(PARALLEL);
        while let Some((index, found)) = looked.next().await {
            if let Some(found) = found? {
                let entry = &entries[index];
                self.ledger.record(&request.bucket, &entry.key, bare(&entry.etag), found.clone());
                known[index] = Some(found);
            }
        }
        Ok(known)
    }

    /// One HEAD. None: it cannot be told, and the storage's size stays.
    async fn look(&self, place: &Place, entry: &Entry) -> Result<Option<Known>, Error> {
        let version = entry.version.as_deref().map(|version| ("versionId", version));
        for attempt in 1..=ATTEMPTS {
            let target = upstream::uri(&place.bucket, Some(&entry.key), version.as_slice());
            let response = self.send(&place.upstream, upstream::request(Method::HEAD, target)).await?;
            let head = response.headers();
            match response.status() {
                StatusCode::OK => {
                    let etag = head.get("etag").and_then(|etag| etag.to_str().ok()).unwrap_or_default();
                    if bare(etag) != bare(&entry.etag) {
                        // Overwritten since the page was made: what the page shows is gone.
                        return Ok(None);
                    }
                    return Ok(Some(match headers::sealed_metadata(head) {
                        Ok(None) => Known { encrypted: false, size: entry.size, kms: None },
                        Ok(Some(metadata)) => {
                            let size = Self::sealed_len(&metadata, entry.size).unwrap_or(entry.size);
                            Known { encrypted: true, size, kms: kms_of(metadata.kms_id()) }
                        }
                        Err(error) => {
                            tracing::warn!(%error, "object in a list has metadata that cannot be read");
                            return Ok(None);
                        }
                    }));
                }
                status if upstream::is_overload(status) && attempt < ATTEMPTS => {
                    tokio::time::sleep(std::time::Duration::from_millis(100 << attempt)).await;
                }
                status if upstream::is_overload(status) => {
                    return Err(Error::slow_down("The storage is busy. Try again."));
                }
                // Gone since, or not ours to see (keys of the client's own).
                _ => return Ok(None),
            }
        }
        Ok(None)
    }
}

fn bare(etag: &str) -> &str {
    etag.trim_matches('"')
}

fn unread(error: quick_xml::Error) -> Error {
    Error::internal("The storage's page cannot be read.").because(error)
}

/// The elements that are one object each.
fn is_entry(name: &[u8]) -> bool {
    matches!(name, b"Contents" | b"Version")
}

/// Every object of a page, in order.
fn entries(page: &[u8], coded: bool) -> Result<Vec<Entry>, quick_xml::Error> {
    let mut reader = Reader::from_reader(page);
    let (mut entries, mut entry, mut field, mut text) = (Vec::new(), None::<Entry>, Vec::new(), String::new());
    let mut depth = 0;
    loop {
        match reader.read_event()? {
            Event::Start(start) if is_entry(start.name().as_ref()) && entry.is_none() => {
                entry = Some(Entry::default());
                depth = 0;
            }
            Event::Start(start) if entry.is_some() => {
                depth += 1;
                field = start.name().as_ref().to_vec();
                text.clear();
            }
            Event::Text(part) => text.push_str(&part.decode()?),
            Event::GeneralRef(reference) => push_reference(&reference, &mut text)?,
            Event::End(end) if entry.is_some() => {
                if depth == 0 && is_entry(end.name().as_ref()) {
                    entries.extend(entry.take());
                    continue;
                }
                if depth == 1
                    && let Some(entry) = &mut entry
                {
                    match field.as_slice() {
                        b"Key" => {
                            entry.key = if coded { decode(&text) } else { text.clone() };
                        }
                        b"ETag" => entry.etag.clone_from(&text),
                        b"Size" => entry.size = text.trim().parse().unwrap_or_default(),
                        b"LastModified" => entry.modified.clone_from(&text),
                        b"VersionId" => entry.version = Some(text.clone()),
                        _ => {}
                    }
                }
                depth -= 1;
            }
            Event::Eof => return Ok(entries),
            _ => {}
        }
    }
}

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

pub(super) fn push_reference(
    reference: &quick_xml::events::BytesRef<'_>,
    text: &mut String,
) -> Result<(), quick_xml::Error> {
    if let Some(character) = reference.resolve_char_ref()? {
        text.push(character);
    } else if let Some(resolved) = quick_xml::escape::resolve_predefined_entity(&reference.decode()?) {
        text.push_str(resolved);
    }
    Ok(())
}

/// The page with `Size` and `ETag` of encrypted objects as clients see them, without checksums of ciphertext, and with
/// the bucket's name as the client calls it.
fn rewrite(page: &[u8], known: &[Option<Known>], name: Option<&str>) -> Result<Bytes, quick_xml::Error> {
    let mut reader = Reader::from_reader(page);
    let mut writer = Writer::new(Vec::with_capacity(page.len()));
    let mut known = known.iter();
    // Within an entry: what it is, and how deep.
    let mut entry: Option<Option<&Known>> = None;
    let (mut depth, mut field, mut dropped) = (0, Vec::new(), false);
    let mut outer = 0;
    let mut etag = String::new();
    loop {
        let event = reader.read_event()?;
        match &event {
            Event::Start(start) if entry.is_none() => {
                outer += 1;
                field = start.name().as_ref().to_vec();
                if is_entry(&field) {
                    entry = Some(known.next().and_then(Option::as_ref).filter(|known| known.encrypted));
                    depth = 0;
                }
            }
            Event::Start(start) => {
                depth += 1;
                field = start.name().as_ref().to_vec();
                etag.clear();
                if depth == 1 && entry == Some(None) {
                    dropped = false;
                } else if depth == 1 {
                    dropped = field.starts_with(b"Checksum");
                }
            }
            Event::End(end) => {
                if let Some(current) = entry {
                    if depth == 0 {
                        entry = None;
                        outer -= 1;
                        field.clear();
                    } else {
                        if depth == 1
                            && let Some(current) = current
                        {
                            let text = match end.name().as_ref() {
                                b"Size" => Some(current.size.to_string()),
                                b"ETag" => Some(headers::visible_etag_text(&etag)),
                                _ => None,
                            };
                            if let Some(text) = text {
                                writer.write_event(Event::Text(BytesText::new(&text)))?;
                            }
                        }
                        depth -= 1;
                        let was_dropped = dropped && depth == 0;
                        if depth == 0 {
                            field.clear();
                            dropped = false;
                        }
                        if was_dropped {
                            continue;
                        }
                    }
                } else {
                    if let Some(name) = name.filter(|_| outer == 2 && field == b"Name") {
                        writer.write_event(Event::Text(BytesText::new(name)))?;
                    }
                    outer -= 1;
                    field.clear();
                }
            }
            Event::Text(_) | Event::GeneralRef(_) | Event::CData(_) => {
                let replaced = match entry {
                    Some(Some(_)) => depth == 1 && matches!(field.as_slice(), b"Size" | b"ETag"),
                    Some(None) => false,
                    None => name.is_some() && outer == 2 && field == b"Name",
                };
                if replaced {
                    match &event {
                        Event::Text(part) => etag.push_str(&part.decode()?),
                        Event::GeneralRef(reference) => push_reference(reference, &mut etag)?,
                        _ => {}
                    }
                    continue;
                }
            }
            Event::Eof => return Ok(writer.into_inner().into()),
            _ => {}
        }
        if !dropped {
            writer.write_event(event)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = concat!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
        "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><Prefix></Prefix>",
        "<Contents><Key>a&amp;b</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>",
        "<ETag>&quot;00112233445566778899aabbccddeeff&quot;</ETag><ChecksumAlgorithm>CRC32</ChecksumAlgorithm>",
        "<Size>70000</Size><Owner><ID>x</ID></Owner></Contents>",
        "<Contents><Key>plain</Key><ETag>\"ff112233445566778899aabbccddeeff\"</ETag><Size>5</Size></Contents>",
        "</ListBucketResult>"
    );

    fn known(size: u64) -> Known {
        Known { encrypted: true, size, kms: None }
    }

    #[test]
    fn entries_are_found_with_what_identifies_them() {
        let entries = entries(PAGE.as_bytes(), false).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].key.as_str(), entries[0].size), ("a&b", 70_000));
        assert_eq!(bare(&entries[0].etag), "00112233445566778899aabbccddeeff");
    }

    #[test]
    fn only_encrypted_entries_are_rewritten() {
        let plain = Some(Known { encrypted: false, size: 5, kms: None });
        let out = rewrite(PAGE.as_bytes(), &[Some(known(123)), plain], None).unwrap();
        let out = std::str::from_utf8(&out).unwrap();
        let expected = PAGE
            .replace("<Size>70000</Size>", "<Size>123</Size>")
            .replace(
                "<ETag>&quot;00112233445566778899aabbccddeeff&quot;",
                "<ETag>&quot;00112233445566778899aabbccddeeff-1&quot;",
            )
            .replace("<ChecksumAlgorithm>CRC32</ChecksumAlgorithm>", "");
        assert_eq!(out, expected);
    }

    #[test]
    fn a_page_without_encrypted_entries_stays_byte_for_byte() {
        let out = rewrite(PAGE.as_bytes(), &[None, None], None).unwrap();
        assert_eq!(std::str::from_utf8(&out).unwrap(), PAGE);
    }

    #[test]
    fn a_mapped_bucket_keeps_the_name_that_clients_know() {
        let out = rewrite(PAGE.as_bytes(), &[None, None], Some("mine")).unwrap();
        assert_eq!(std::str::from_utf8(&out).unwrap(), PAGE.replace("<Name>b</Name>", "<Name>mine</Name>"));
    }
}

//! A page of a list as the storage writes it: its entries, and the page with other values in them.

use bytes::Bytes;
use http::StatusCode;
use quick_xml::events::{BytesRef, BytesText, Event};
use quick_xml::{Reader, Writer};

use super::super::error::Error;
use super::super::headers;
use super::Seen;
use crate::state::ledger::Known;
use crate::upstream::{self, Body};

/// The longest page that is taken, in bytes: a thousand entries with long keys take about 8 MiB.
const MAX_PAGE: usize = 16 << 20;

/// One object of a page.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) etag: String,
    /// Stored bytes.
    pub(super) size: u64,
    pub(super) modified: String,
    /// None in a list of objects.
    pub(super) version: Option<String>,
    /// What a read without a version gives.
    pub(super) latest: bool,
}

impl Entry {
    /// The `ETag` without quotes.
    pub(super) fn bare_etag(&self) -> &str {
        bare(&self.etag)
    }

    /// Plain, where so few bytes are stored that it cannot be a sealed object.
    pub(super) fn too_short(&self) -> Option<Known> {
        (self.size < envelope::MIN_STORED).then_some(Known { encrypted: false, size: self.size, kms: None })
    }
}

pub(super) fn bare(etag: &str) -> &str {
    etag.trim_matches('"')
}

/// The whole page.
pub(super) async fn collect(body: Body) -> Result<Bytes, Error> {
    let page = upstream::collect(body, MAX_PAGE).await;
    let page = page.map_err(|error| Error::slow_down("The storage broke off. Try again.").because(error))?;
    page.ok_or_else(|| Error::internal("The storage's page is too long."))
}

/// Every object of a page, in order.
pub(super) fn entries(page: &[u8]) -> Result<Vec<Entry>, Error> {
    let coded = super::super::multipart::field(page, b"EncodingType").as_deref() == Some("url");
    read(page, coded).map_err(unread)
}

pub(super) fn unread(error: quick_xml::Error) -> Error {
    Error::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "The storage's page cannot be read.").because(error)
}

/// The elements that are one object each.
fn is_entry(name: &[u8]) -> bool {
    matches!(name, b"Contents" | b"Version")
}

fn read(page: &[u8], coded: bool) -> Result<Vec<Entry>, quick_xml::Error> {
    let mut reader = Reader::from_reader(page);
    let (mut entries, mut entry, mut text) = (Vec::new(), None::<Entry>, String::new());
    let mut depth = 0;
    loop {
        match reader.read_event()? {
            Event::Start(start) if entry.is_none() => {
                // A list of objects does not say it: all of them are the latest.
                let latest = start.name().as_ref() == b"Contents";
                entry = is_entry(start.name().as_ref()).then(|| Entry { latest, ..Entry::default() });
                depth = 0;
            }
            Event::Start(_) => {
                depth += 1;
                text.clear();
            }
            Event::Text(part) => text.push_str(&part.decode()?),
            Event::CData(part) => text.push_str(&part.decode()?),
            Event::GeneralRef(reference) => push_reference(&reference, &mut text)?,
            Event::End(_) if depth == 0 => entries.extend(entry.take()),
            Event::End(end) => {
                if let Some(entry) = entry.as_mut().filter(|_| depth == 1) {
                    match end.name().as_ref() {
                        b"Key" => entry.key = if coded { decode(&text) } else { text.clone() },
                        b"ETag" => entry.etag.clone_from(&text),
                        b"Size" => entry.size = text.trim().parse().unwrap_or_default(),
                        b"LastModified" => entry.modified.clone_from(&text),
                        b"VersionId" => entry.version = Some(text.clone()),
                        b"IsLatest" => entry.latest = text.trim() == "true",
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

pub(super) fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

pub(in super::super) fn push_reference(reference: &BytesRef<'_>, text: &mut String) -> Result<(), quick_xml::Error> {
    if let Some(character) = reference.resolve_char_ref()? {
        text.push(character);
    } else if let Some(resolved) = quick_xml::escape::resolve_predefined_entity(&reference.decode()?) {
        text.push_str(resolved);
    }
    Ok(())
}

/// The page with `seen` for its entries, in order, and with the bucket's name as the client calls it.
pub(super) fn rewrite(page: &[u8], seen: &[Seen], name: Option<&str>) -> Result<Bytes, quick_xml::Error> {
    let mut reader = Reader::from_reader(page);
    let mut writer = Writer::new(Vec::with_capacity(page.len()));
    let mut seen = seen.iter();
    let mut entry: Option<&Seen> = None;
    // How deep; whether the element is left out, and whether its text was replaced.
    let (mut depth, mut dropped, mut replaced) = (0, false, false);
    loop {
        let event = reader.read_event()?;
        match &event {
            Event::Start(start) => {
                depth += 1;
                let tag = start.name();
                let field = tag.as_ref();
                if depth == 2 {
                    entry = if is_entry(field) { seen.next().filter(|seen| seen.differs()) } else { None };
                }
                dropped |= depth == 3 && entry.is_some() && field.starts_with(b"Checksum");
                let text = match depth {
                    2 if field == b"Name" => name.map(str::to_owned),
                    3 => entry.and_then(|seen| seen.text(field)),
                    _ => None,
                };
                if let Some(text) = text {
                    writer.write_event(event)?;
                    writer.write_event(Event::Text(BytesText::new(&text)))?;
                    replaced = true;
                    continue;
                }
            }
            Event::End(_) => {
                depth -= 1;
                replaced = false;
                if dropped {
                    dropped = depth > 2;
                    continue;
                }
            }
            Event::Text(_) | Event::GeneralRef(_) | Event::CData(_) if replaced => continue,
            Event::Eof => return Ok(writer.into_inner().into()),
            _ => {}
        }
        if !dropped {
            writer.write_event(event)?;
        }
    }
}

impl Seen {
    /// Whether clients are shown something else than what the page says.
    fn differs(&self) -> bool {
        self.another || self.sealed().is_some()
    }

    /// The text of an element that is replaced. Checksums are left out besides: they are of the ciphertext, or of what was
    /// there before.
    fn text(&self, field: &[u8]) -> Option<String> {
        match field {
            b"Size" => Some(self.size().to_string()),
            b"ETag" => Some(self.etag()),
            b"LastModified" if self.another => Some(self.entry.modified.clone()),
            _ => None,
        }
    }

    /// Bytes as clients see them.
    pub(super) fn size(&self) -> u64 {
        self.sealed().map_or(self.entry.size, |known| known.size)
    }

    /// The `ETag` as clients see it, quoted as the storage quotes it.
    pub(super) fn etag(&self) -> String {
        if self.sealed().is_some() { headers::visible_etag_text(&self.entry.etag) } else { self.entry.etag.clone() }
    }
}

#[cfg(test)]
mod tests;

//! `ListParts` and `ListMultipartUploads`.

#![expect(clippy::format_push_string, reason = "the XML is short, and reads best as it is written")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::HeaderValue;
use http::{HeaderMap, Method, Response, StatusCode};
use quick_xml::events::{BytesText, Event};
use quick_xml::{Reader, Writer};

use super::super::access::Granted;
use super::super::error::{Error, escape};
use super::super::headers::client_response;
use super::super::list::push_reference;
use super::super::request::Request;
use super::super::service::element;
use super::super::{Front, headers};
use super::checksums::{chosen_xml, value_xml};
use super::complete_plain::with_text;
use super::state::{Kind, Looked, PREFIX, PartRecord, UploadId, gone};
use super::{answer_xml, field};
use crate::upstream::{self, Body};

/// The longest page of uploads that is taken, in bytes.
const MAX_PAGE: usize = 16 << 20;

/// An upload of which nothing is kept here.
const PLAIN: &Looked = &(Kind::Plain, None);

impl Front {
    pub(in super::super) async fn list_parts(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        let id = UploadId::parse(request.query("uploadId").unwrap_or_default());
        if !id.sealed {
            self.check_plain(&request, &granted, &id.upstream).await?;
            let response = self.forward(&request, &granted, headers::to_storage(&request.headers), upstream::empty());
            let (head, body) = response.await?.into_parts();
            let mut shown = headers::to_client(&head.headers);
            if head.status != StatusCode::OK || request.bucket == granted.place.bucket {
                return Ok(client_response(head.status, shown, body));
            }
            let text = with_text(&taken(body).await?, "Bucket", &request.bucket);
            shown.insert("content-length", HeaderValue::from(text.len()));
            return Ok(client_response(head.status, shown, upstream::full(text)));
        }
        let opened = self.opened(&granted, &request.key, &id.upstream).await?.ok_or_else(gone)?;
        let number = |name: &str, default: usize| match request.query(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| Error::invalid_argument(format!("{name} is not a number"))),
        };
        let most = number("max-parts", 1000)?.min(1000);
        let after = number("part-number-marker", 0)?;
        let _turn = self.uploads.lists.acquire().await.expect("the semaphore is never closed");
        let (records, whose) =
            tokio::try_join!(self.parts(&opened), self.whose_upload(&granted, &request.key, &id.upstream))?;
        let mut latest: Vec<PartRecord> = Vec::new();
        for record in records {
            match latest.last_mut().filter(|last| last.number == record.number) {
                Some(last) => *last = record,
                None => latest.push(record),
            }
        }
        let mut rest = latest.into_iter().filter(|record| usize::from(record.number) > after);
        let page: Vec<_> = rest.by_ref().take(most).collect();
        let truncated = rest.next().is_some();
        let last = page.last().map_or(after, |record| usize::from(record.number));
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListPartsResult \
             xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Bucket>{}</Bucket><Key>{}</Key><UploadId>{}</UploadId>\
             <PartNumberMarker>{after}</PartNumberMarker><NextPartNumberMarker>{last}</NextPartNumberMarker>\
             <MaxParts>{most}</MaxParts><IsTruncated>{truncated}</IsTruncated><StorageClass>{}</StorageClass>{whose}{}",
            escape(&request.bucket),
            escape(&request.key),
            escape(request.query("uploadId").unwrap_or_default()),
            escape(&opened.note.storage_class),
            chosen_xml(opened.note.checksum_chosen())
        );
        for record in page {
            let of_part =
                record.checksums.iter().map(|(algorithm, value)| value_xml(*algorithm, &STANDARD.encode(value)));
            text.push_str(&format!(
                "<Part><PartNumber>{}</PartNumber><LastModified>{}</LastModified><ETag>&quot;{}&quot;</ETag>\
                 <Size>{}</Size>{}</Part>",
                record.number,
                time_text(record.at_ms),
                escape(&record.etag),
                record.plaintext_len,
                of_part.collect::<String>()
            ));
        }
        text.push_str("</ListPartsResult>");
        Ok(answer_xml(text, HeaderMap::new()))
    }

    /// The elements by which the storage says whose an upload is.
    async fn whose_upload(&self, granted: &Granted, key: &str, id: &str) -> Result<String, Error> {
        let target = upstream::uri(&granted.place.bucket, Some(key), &[("max-parts", "1"), ("uploadId", id)]);
        let response = self.send(&granted.place.upstream, upstream::request(Method::GET, target)).await?;
        let status = response.status();
        if status == StatusCode::NOT_FOUND {
            return Err(gone());
        }
        if !status.is_success() {
            return Err(Error::slow_down("The upload could not be looked up. Try again.")
                .because(format!("ListParts: {status}")));
        }
        let page = self.answer(response.into_body()).await?;
        let mut whose = String::new();
        for name in ["Initiator", "Owner"] {
            if let Some(inner) = element(&page, name) {
                whose.push_str(&format!("<{name}>{}</{name}>", String::from_utf8_lossy(&page[inner])));
            }
        }
        Ok(whose)
    }

    pub(in super::super) async fn list_uploads(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        // A marker is an ID as clients see it.
        let mut asked = request;
        let mut marked = false;
        for (name, value) in &mut asked.query {
            if name == "upload-id-marker" {
                let id = UploadId::parse(value);
                marked = id.sealed;
                *value = id.upstream;
            }
        }
        let response = self.forward(&asked, &granted, headers::to_storage(&asked.headers), upstream::empty()).await?;
        let (head, body) = response.into_parts();
        let mut shown = headers::to_client(&head.headers);
        let (due, mapped) = (self.may_be_due(&granted.document, &asked.bucket), asked.bucket != granted.place.bucket);
        if head.status != StatusCode::OK || !(due || mapped) {
            return Ok(client_response(head.status, shown, body));
        }
        let mut page = taken(body).await?;
        if mapped {
            page = with_text(&page, "Bucket", &asked.bucket).into();
        }
        if !due {
            shown.insert("content-length", HeaderValue::from(page.len()));
            return Ok(client_response(head.status, shown, upstream::full(page)));
        }
        let unread = |error: quick_xml::Error| Error::internal("The storage's page cannot be read.").because(error);
        let coded = asked.query("encoding-type") == Some("url");
        let uploads = uploads(&page, coded).map_err(unread)?;
        let looked = self.look_at_uploads(&granted, &uploads).await?;
        let at = |index| looked.get(&index).unwrap_or(PLAIN);
        // Where the next page begins is as a rule the last upload of this one.
        let last = uploads.last().filter(|_| at(uploads.len() - 1).0 == Kind::Sealed).map(|(_, id)| id.clone());
        let next = last.is_some() && field(&page, b"NextUploadIdMarker") == last;
        let text = rename(&page, marked, next, at).map_err(unread)?;
        shown.insert("content-length", HeaderValue::from(text.len()));
        Ok(client_response(head.status, shown, upstream::full(text)))
    }
}

/// A page of the storage, whole.
async fn taken(page: Body) -> Result<bytes::Bytes, Error> {
    let page = upstream::collect(page, MAX_PAGE).await;
    let page = page.map_err(|error| Error::slow_down("The storage broke off. Try again.").because(error))?;
    page.ok_or_else(|| Error::internal("The storage's page is too long."))
}

fn time_text(at_ms: i64) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp(at_ms / 1000).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    at.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}

/// Key and ID of every upload of a page, in order.
fn uploads(page: &[u8], coded: bool) -> Result<Vec<(String, String)>, quick_xml::Error> {
    let mut reader = Reader::from_reader(page);
    let (mut uploads, mut inside, mut text) = (Vec::new(), false, String::new());
    let (mut key, mut id) = (String::new(), String::new());
    loop {
        match reader.read_event()? {
            Event::Start(start) => {
                inside |= start.local_name().as_ref() == b"Upload";
                text.clear();
            }
            Event::Text(part) => text.push_str(&part.decode()?),
            Event::GeneralRef(reference) => push_reference(&reference, &mut text)?,
            Event::End(end) if inside => match end.local_name().as_ref() {
                b"Key" => key = if coded { decode(&text) } else { text.clone() },
                b"UploadId" => id.clone_from(&text),
                b"Upload" => {
                    uploads.push((std::mem::take(&mut key), std::mem::take(&mut id)));
                    inside = false;
                }
                _ => {}
            },
            Event::Eof => return Ok(uploads),
            _ => {}
        }
    }
}

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

/// The page with the IDs of encrypted uploads, also where they are the marker that the client gave or the next one, and
/// the checksums chosen for them, as clients see them, and without the gateway's own.
fn rename<'a>(
    page: &[u8],
    marked: bool,
    next: bool,
    looked: impl Fn(usize) -> &'a Looked,
) -> Result<Vec<u8>, quick_xml::Error> {
    let kind = |index| looked(index).0;
    let mut reader = Reader::from_reader(page);
    let mut writer = Writer::new(Vec::with_capacity(page.len() + 1024));
    let (mut index, mut inside, mut dropped) = (0, false, false);
    loop {
        let event = reader.read_event()?;
        let shown = !(inside && kind(index) == Kind::Copy);
        match &event {
            Event::Start(start) if start.local_name().as_ref() == b"Upload" => {
                inside = true;
                if kind(index) == Kind::Copy {
                    continue;
                }
            }
            Event::End(end) if end.local_name().as_ref() == b"Upload" => {
                if let (Kind::Sealed, Some((algorithm, kind))) = looked(index) {
                    for (name, text) in [("ChecksumAlgorithm", algorithm), ("ChecksumType", kind)] {
                        writer.create_element(name).write_text_content(BytesText::new(text))?;
                    }
                }
                inside = false;
                index += 1;
            }
            // The storage's own, of ciphertext.
            Event::Start(start) if inside && is_checksum(start.local_name()) && kind(index) == Kind::Sealed => {
                dropped = true;
            }
            Event::Start(start) if shown => {
                let ours = match start.local_name().as_ref() {
                    b"UploadId" => inside && kind(index) == Kind::Sealed,
                    b"UploadIdMarker" => marked,
                    b"NextUploadIdMarker" => next,
                    _ => false,
                };
                writer.write_event(event)?;
                if ours {
                    writer.write_event(Event::Text(BytesText::new(PREFIX)))?;
                }
                continue;
            }
            Event::End(end) if dropped && is_checksum(end.local_name()) => {
                dropped = false;
                continue;
            }
            Event::Eof => return Ok(writer.into_inner()),
            _ => {}
        }
        if shown && !dropped {
            writer.write_event(event)?;
        }
    }
}

fn is_checksum(name: quick_xml::name::LocalName<'_>) -> bool {
    name.as_ref().starts_with(b"Checksum")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_of_encrypted_uploads_are_renamed_and_the_gateways_own_are_not_shown() {
        let page = "<R><UploadIdMarker>m</UploadIdMarker><NextUploadIdMarker>one</NextUploadIdMarker>\
                    <Upload><Key>a&amp;b</Key><UploadId>one</UploadId></Upload>\
                    <Upload><Key>c</Key><UploadId>two</UploadId></Upload></R>";
        let found = uploads(page.as_bytes(), false).unwrap();
        assert_eq!(found, [("a&b".into(), "one".into()), ("c".into(), "two".into())]);
        let renamed = |marked, next, first: Kind| {
            let first = (first, None);
            let renamed = rename(page.as_bytes(), marked, next, |index| if index == 0 { &first } else { PLAIN });
            String::from_utf8(renamed.unwrap()).unwrap()
        };
        assert_eq!(renamed(false, true, Kind::Sealed), page.replace(">one<", ">gse1.one<"));
        assert_eq!(
            renamed(true, false, Kind::Sealed),
            page.replace(">one</UploadId>", ">gse1.one</UploadId>").replace(">m<", ">gse1.m<")
        );
        let hidden = "<Upload><Key>a&amp;b</Key><UploadId>one</UploadId></Upload>";
        assert_eq!(renamed(false, false, Kind::Copy), page.replace(hidden, ""));
    }

    #[test]
    fn an_encrypted_upload_shows_the_checksum_of_its_client_and_not_the_storages() {
        let of_storage = "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>";
        let page = format!(
            "<R><Upload><UploadId>one</UploadId>{of_storage}</Upload><Upload><UploadId>two</UploadId>{of_storage}</Upload></R>"
        );
        let chosen = (Kind::Sealed, Some(("SHA256".to_owned(), "COMPOSITE".to_owned())));
        let renamed = rename(page.as_bytes(), false, false, |index| if index == 0 { &chosen } else { PLAIN }).unwrap();
        let of_client = "<ChecksumAlgorithm>SHA256</ChecksumAlgorithm><ChecksumType>COMPOSITE</ChecksumType>";
        let expected = page.replacen(of_storage, of_client, 1).replace(">one<", ">gse1.one<");
        assert_eq!(String::from_utf8(renamed).unwrap(), expected);
    }
}

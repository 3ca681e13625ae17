//! `ListParts`, `ListMultipartUploads` and `GetObjectAttributes`.

#![expect(clippy::format_push_string, reason = "the XML is short, and reads best as it is written")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use envelope::ChecksumKind;
use http::header::{ETAG, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use quick_xml::events::{BytesText, Event};
use quick_xml::{Reader, Writer};

use super::super::error::{Error, escape, unreadable};
use super::super::headers::client_response;
use super::super::list::push_reference;
use super::super::open::{Failed, Stored};
use super::super::request::Request;
use super::super::{Front, headers};
use super::state::{PREFIX, PartRecord, UploadId, gone};
use super::{algorithm_name, answer_xml};
use crate::upstream::{self, Body};

/// The longest page of uploads that is taken, in bytes.
const MAX_PAGE: usize = 16 << 20;

impl Front {
    pub(in super::super) async fn list_parts(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        let id = UploadId::parse(request.query("uploadId").unwrap_or_default());
        if !id.sealed {
            self.check_plain(&request, &granted, &id.upstream).await?;
            let response = self.forward(&request, &granted, headers::to_storage(&request.headers), upstream::empty());
            let (head, body) = response.await?.into_parts();
            return Ok(client_response(head.status, headers::to_client(&head.headers), body));
        }
        let opened = self.opened(&granted, &request.key, &id.upstream).await?.ok_or_else(gone)?;
        let number = |name: &str, default: usize| match request.query(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| Error::invalid_argument(format!("{name} is not a number"))),
        };
        let most = number("max-parts", 1000)?.min(1000);
        let after = number("part-number-marker", 0)?;
        let mut latest: Vec<PartRecord> = Vec::new();
        for record in self.parts(&opened).await? {
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
             <MaxParts>{most}</MaxParts><IsTruncated>{truncated}</IsTruncated><StorageClass>{}</StorageClass>",
            escape(&request.bucket),
            escape(&request.key),
            escape(request.query("uploadId").unwrap_or_default()),
            escape(&opened.note.storage_class)
        );
        for record in page {
            let checksum = record
                .checksum
                .as_ref()
                .map(|(name, value)| format!("<Checksum{name}>{}</Checksum{name}>", STANDARD.encode(value)));
            text.push_str(&format!(
                "<Part><PartNumber>{}</PartNumber><LastModified>{}</LastModified><ETag>&quot;{}&quot;</ETag>\
                 <Size>{}</Size>{}</Part>",
                record.number,
                time_text(record.at_ms),
                escape(&record.etag),
                record.plaintext_len,
                checksum.unwrap_or_default()
            ));
        }
        text.push_str("</ListPartsResult>");
        Ok(answer_xml(text, HeaderMap::new()))
    }

    pub(in super::super) async fn list_uploads(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        // A marker is an ID as clients see it.
        let mut asked = request;
        for (name, value) in &mut asked.query {
            if name == "upload-id-marker" {
                *value = UploadId::parse(value).upstream;
            }
        }
        let response = self.forward(&asked, &granted, headers::to_storage(&asked.headers), upstream::empty()).await?;
        let (head, body) = response.into_parts();
        let mut shown = headers::to_client(&head.headers);
        if head.status != StatusCode::OK || !self.may_be_due(&granted.document, &asked.bucket) {
            return Ok(client_response(head.status, shown, body));
        }
        let page = upstream::collect(body, MAX_PAGE).await;
        let page = page.map_err(|error| Error::slow_down("The storage broke off. Try again.").because(error))?;
        let page = page.ok_or_else(|| Error::internal("The storage's page is too long."))?;
        let unread = |error: quick_xml::Error| Error::internal("The storage's page cannot be read.").because(error);
        let coded = asked.query("encoding-type") == Some("url");
        let uploads = uploads(&page, coded).map_err(unread)?;
        let sealed = self.are_sealed(&granted, &uploads).await?;
        let text = rename(&page, |index| sealed.get(&index).copied().unwrap_or_default()).map_err(unread)?;
        shown.insert("content-length", HeaderValue::from(text.len()));
        Ok(client_response(head.status, shown, upstream::full(text)))
    }

    pub(in super::super) async fn object_attributes(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        let version = request.query("versionId").map(|version| ("versionId", version));
        let target = upstream::uri(&granted.place.bucket, Some(&request.key), version.as_slice());
        let mut sent = upstream::request(Method::HEAD, target);
        let keys = headers::customer_keys(&request.headers);
        sent.headers_mut().extend(keys.clone());
        let (head, _) = self.send(&granted.place.upstream, sent).await?.into_parts();
        if upstream::is_overload(head.status) {
            // What it is was not seen: its attributes may be those of ciphertext.
            return Err(Error::slow_down("The storage is busy. Try again."));
        }
        let metadata =
            if head.status.is_success() { headers::sealed_metadata(&head.headers).map_err(unreadable)? } else { None };
        let Some(metadata) = metadata else { return self.pass_granted(request, &granted).await };
        let stored = Stored::read(head.headers, request.query("versionId"), keys)?;
        let object = match self.open(&granted, &request.key, &stored, Some(&metadata), true).await {
            Ok(object) => object,
            Err(Failed::Changed) => return Err(Error::slow_down("The object is being overwritten. Try again.")),
            Err(Failed::Error(error)) => return Err(error),
        };
        // A list, which some clients send as one header for each element.
        let wanted = request.headers.get_all("x-amz-object-attributes").iter().filter_map(|value| value.to_str().ok());
        let wanted: Vec<_> =
            wanted.flat_map(|list| list.split(',')).map(|one| one.trim().to_ascii_lowercase()).collect();
        let wants = |name: &str| wanted.iter().any(|one| one == name);
        let mut text = String::from(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <GetObjectAttributesResponse xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
        );
        let etag = stored.headers.get(ETAG).and_then(|etag| etag.to_str().ok()).unwrap_or_default();
        if wants("etag") {
            let etag = headers::visible_etag_text(etag.trim_matches('"'));
            text.push_str(&format!("<ETag>{}</ETag>", escape(&etag)));
        }
        let checksums = object.checksums().filter(|checksums| !checksums.object.is_empty());
        if let Some(checksums) = checksums.filter(|_| wants("checksum")) {
            text.push_str("<Checksum>");
            for checksum in &checksums.object {
                let name = algorithm_name(checksum.algorithm);
                let full = checksum.kind == ChecksumKind::FullObject;
                let value = STANDARD.encode(&checksum.value);
                let value = if full { value } else { format!("{value}-{}", object.parts().len()) };
                let kind = if full { "FULL_OBJECT" } else { "COMPOSITE" };
                text.push_str(&format!("<Checksum{name}>{value}</Checksum{name}><ChecksumType>{kind}</ChecksumType>"));
            }
            text.push_str("</Checksum>");
        }
        if wants("objectparts") && object.header().is_multipart() {
            text.push_str(&format!("<ObjectParts><PartsCount>{}</PartsCount>", object.parts().len()));
            if let Some(of) = checksums.and_then(|checksums| checksums.parts.as_ref()) {
                let name = algorithm_name(of.algorithm);
                for (index, (part, value)) in object.parts().iter().zip(&of.values).enumerate() {
                    text.push_str(&format!(
                        "<Part><PartNumber>{}</PartNumber><Size>{}</Size><Checksum{name}>{}</Checksum{name}></Part>",
                        index + 1,
                        part.plaintext_len,
                        STANDARD.encode(value)
                    ));
                }
            }
            text.push_str("</ObjectParts>");
        }
        if wants("storageclass") {
            let class = stored.headers.get("x-amz-storage-class").and_then(|class| class.to_str().ok());
            text.push_str(&format!("<StorageClass>{}</StorageClass>", escape(class.unwrap_or("STANDARD"))));
        }
        if wants("objectsize") {
            text.push_str(&format!("<ObjectSize>{}</ObjectSize>", object.plaintext_len()));
        }
        text.push_str("</GetObjectAttributesResponse>");
        let mut shown = HeaderMap::new();
        for name in ["last-modified", "x-amz-version-id"] {
            if let Some(value) = stored.headers.get(name) {
                shown.insert(http::HeaderName::from_static(name), value.clone());
            }
        }
        Ok(answer_xml(text, shown))
    }
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

/// The page with the IDs of encrypted uploads as clients see them.
fn rename(page: &[u8], sealed: impl Fn(usize) -> bool) -> Result<Vec<u8>, quick_xml::Error> {
    let mut reader = Reader::from_reader(page);
    let mut writer = Writer::new(Vec::with_capacity(page.len() + 1024));
    let (mut index, mut inside) = (0, false);
    loop {
        let event = reader.read_event()?;
        match &event {
            Event::Start(start) if start.local_name().as_ref() == b"Upload" => inside = true,
            Event::End(end) if end.local_name().as_ref() == b"Upload" => {
                inside = false;
                index += 1;
            }
            Event::Start(start) if inside && start.local_name().as_ref() == b"UploadId" && sealed(index) => {
                writer.write_event(event)?;
                writer.write_event(Event::Text(BytesText::new(PREFIX)))?;
                continue;
            }
            Event::Eof => return Ok(writer.into_inner()),
            _ => {}
        }
        writer.write_event(event)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_of_encrypted_uploads_are_renamed() {
        let page = "<R><UploadIdMarker>m</UploadIdMarker><Upload><Key>a&amp;b</Key><UploadId>one</UploadId></Upload>\
                    <Upload><Key>c</Key><UploadId>two</UploadId></Upload></R>";
        let found = uploads(page.as_bytes(), false).unwrap();
        assert_eq!(found, [("a&b".into(), "one".into()), ("c".into(), "two".into())]);
        let renamed = rename(page.as_bytes(), |index| index == 0).unwrap();
        assert_eq!(String::from_utf8(renamed).unwrap(), page.replace(">one<", ">gse1.one<"));
    }
}

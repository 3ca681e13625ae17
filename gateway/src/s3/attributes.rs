//! `GetObjectAttributes`: of an encrypted object by its footer, which itself is never shown.

#![expect(clippy::format_push_string, reason = "the XML is short, and reads best as it is written")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use envelope::Object;
use http::header::ETAG;
use http::{HeaderMap, Method, Response, StatusCode};

use super::checksum::kind_name;
use super::error::{Error, escape, unreadable};
use super::multipart::checksums::{text_of, value_xml};
use super::open::{Failed, Stored};
use super::request::Request;
use super::service::xml;
use super::{Front, headers};
use crate::upstream::{self, Body};

/// Parts of a page at most, and where nothing else is asked for.
const MAX_PARTS: usize = 1000;

impl Front {
    pub(super) async fn object_attributes(&self, request: Request) -> Result<Response<Body>, Error> {
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
        let wanted = Wanted::read(&request.headers)?;
        let stored = Stored::read(head.headers, request.query("versionId"), keys)?;
        let object = match self.open(&granted, &request.key, &stored, Some(&metadata), true).await {
            Ok(object) => object,
            Err(Failed::Changed) => return Err(Error::slow_down("The object is being overwritten. Try again.")),
            Err(Failed::Error(error)) => return Err(error),
        };
        let mut answer = xml(StatusCode::OK, wanted.tell(&stored, &object));
        for name in ["last-modified", "x-amz-version-id"] {
            if let Some(value) = stored.headers.get(name) {
                answer.headers_mut().insert(http::HeaderName::from_static(name), value.clone());
            }
        }
        Ok(answer)
    }
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    names: Vec<String>,
    max_parts: usize,
    /// Parts up to this number were had before.
    after: u16,
}

impl Wanted {
    fn read(headers: &HeaderMap) -> Result<Self, Error> {
        // A list, which some clients send as one header for each element.
        let lists = headers.get_all("x-amz-object-attributes").iter().filter_map(|value| value.to_str().ok());
        let names: Vec<_> = lists
            .flat_map(|list| list.split(','))
            .map(|name| name.trim().to_ascii_lowercase())
            .filter(|name| !name.is_empty())
            .collect();
        if names.is_empty() {
            return Err(Error::invalid_request(
                "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty",
            ));
        }
        let known = ["etag", "checksum", "objectparts", "storageclass", "objectsize"];
        if names.iter().any(|name| !known.contains(&name.as_str())) {
            return Err(Error::invalid_argument("Invalid attribute name specified."));
        }
        let number = |name: &str, default: usize| match headers.get(name) {
            None => Ok(default),
            Some(value) => value
                .to_str()
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| Error::invalid_argument(format!("{name} is not a number"))),
        };
        Ok(Self {
            names,
            max_parts: number("x-amz-max-parts", MAX_PARTS)?.min(MAX_PARTS),
            after: u16::try_from(number("x-amz-part-number-marker", 0)?).unwrap_or(u16::MAX),
        })
    }

    fn wants(&self, name: &str) -> bool {
        self.names.iter().any(|one| one == name)
    }

    /// The document, its elements in the order of S3's schema.
    fn tell(&self, stored: &Stored, object: &Object) -> String {
        let mut text = String::from(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <GetObjectAttributesResponse xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
        );
        let header = |name| stored.headers.get(name).and_then(|value| value.to_str().ok());
        if self.wants("etag") {
            let etag = headers::visible_etag_text(header(ETAG.as_str()).unwrap_or_default().trim_matches('"'));
            text.push_str(&format!("<ETag>{}</ETag>", escape(&etag)));
        }
        let checksums = object.checksums().filter(|checksums| !checksums.object.is_empty());
        if let Some(checksums) = checksums.filter(|_| self.wants("checksum")) {
            text.push_str("<Checksum>");
            for checksum in &checksums.object {
                text.push_str(&value_xml(checksum.algorithm, &text_of(checksum, object.parts().len())));
                text.push_str(&format!("<ChecksumType>{}</ChecksumType>", kind_name(checksum.kind)));
            }
            text.push_str("</Checksum>");
        }
        if self.wants("objectparts") && object.header().is_multipart() {
            self.tell_parts(object, &mut text);
        }
        if self.wants("storageclass") {
            let class = header("x-amz-storage-class").unwrap_or("STANDARD");
            text.push_str(&format!("<StorageClass>{}</StorageClass>", escape(class)));
        }
        if self.wants("objectsize") {
            text.push_str(&format!("<ObjectSize>{}</ObjectSize>", object.plaintext_len()));
        }
        text + "</GetObjectAttributesResponse>"
    }

    fn tell_parts(&self, object: &Object, text: &mut String) {
        let parts = object.parts();
        let of_parts = object.checksums().and_then(|checksums| checksums.parts.as_ref());
        // Parts are counted as clients see them, and as `partNumber` of a read does, whatever numbers they were sent under.
        let first = usize::from(self.after).min(parts.len());
        let end = (first + self.max_parts).min(parts.len());
        let last = if end > first { end } else { usize::from(self.after) };
        text.push_str(&format!(
            "<ObjectParts><PartsCount>{}</PartsCount><PartNumberMarker>{}</PartNumberMarker>\
             <NextPartNumberMarker>{last}</NextPartNumberMarker><MaxParts>{}</MaxParts><IsTruncated>{}</IsTruncated>",
            parts.len(),
            self.after,
            self.max_parts,
            end < parts.len()
        ));
        for (index, part) in parts.iter().enumerate().take(end).skip(first) {
            let checksum = of_parts.map(|of| value_xml(of.algorithm, &STANDARD.encode(&of.values[index])));
            text.push_str(&format!(
                "<Part><PartNumber>{}</PartNumber><Size>{}</Size>{}</Part>",
                index + 1,
                part.plaintext_len,
                checksum.unwrap_or_default()
            ));
        }
        text.push_str("</ObjectParts>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_asked_for_by_name_in_one_header_or_several() {
        let read = |values: &[&str]| {
            let name = http::HeaderName::from_static("x-amz-object-attributes");
            let headers = values.iter().map(|value| (name.clone(), value.parse().unwrap())).collect();
            Wanted::read(&headers).map(|wanted| wanted.names).map_err(|error| error.code)
        };
        assert_eq!(read(&["ETag,ObjectSize"]), Ok(vec!["etag".to_owned(), "objectsize".to_owned()]));
        assert_eq!(read(&["ETag", " ObjectSize "]), read(&["ETag,ObjectSize"]));
        assert_eq!(read(&[]), Err("InvalidRequest"));
        assert_eq!(read(&[""]), Err("InvalidRequest"));
        assert_eq!(read(&["ETag,Owner"]), Err("InvalidArgument"));
    }
}

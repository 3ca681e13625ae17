//! `GetObject`.

mod unknown;

use envelope::{Footer, FooterRead, Metadata, begins_with_magic};
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderValue, RANGE};
use http::{HeaderMap, Method, Request as HttpRequest, Response, StatusCode};
use http_body_util::BodyExt as _;
use ids::Outcome;

use super::access::Granted;
use super::conditions::names;
use super::error::{Error, unreadable};
use super::headers::client_response;
use super::open::{ChecksumOf, Counted, Failed, Opening, Stored, Tally, condition, shown_headers};
use super::range::{Wanted, content_range, parse_content_range};
use super::request::Request;
use super::{Front, headers, prefix};
use crate::upstream::{self, Body};

/// How often a read starts at most, where the object changes under it.
const STARTS: usize = 3;

/// Up to this many stored bytes a read that shows a checksum takes the object in whole: its checksum is at its end, and
/// goes out before its first byte. Of a longer one the end is asked for besides.
const KEPT: u64 = 256 << 10;

impl Front {
    pub(super) async fn get(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        if let Some(answer) = self.get_known(&request, &granted).await? {
            return Ok(answer);
        }
        for _ in 0..STARTS {
            match self.get_once(&request, &granted).await {
                Ok(response) => return Ok(response),
                Err(Failed::Changed) => {}
                Err(Failed::Error(error)) => return Err(error),
            }
        }
        Err(Error::slow_down("The object is being overwritten again and again. Try again."))
    }

    async fn get_once(&self, request: &Request, granted: &Granted) -> Result<Response<Body>, Failed> {
        if let Some(answer) = self.get_unknown_range(request, granted).await? {
            return Ok(answer);
        }
        let (conditions, mut head) = Conditions::split(self, request, granted);
        let part = part_number(request)?;
        let mut wanted =
            if part.is_some() { Wanted::Whole } else { Wanted::asked(request, granted.place.upstream.quirks()) };
        if wanted == Wanted::Whole {
            head.remove(RANGE);
        }
        let mut sent = HttpRequest::new(upstream::empty());
        *sent.uri_mut() = upstream::uri(&granted.place.bucket, Some(&request.key), &request.pairs());
        *sent.headers_mut() = head;
        let response = self.send(&granted.place.upstream, sent).await?;
        let (head, body) = response.into_parts();
        match head.status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {}
            // A copy may have fewer parts at the storage than its client stored.
            StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::BAD_REQUEST
                if (head.status == StatusCode::RANGE_NOT_SATISFIABLE || part.is_some())
                    && self.may_be_due(&granted.document, &request.bucket) =>
            {
                let refusal = Response::from_parts(head, body);
                return self.beyond(request, granted, &conditions, refusal, wanted, part).await;
            }
            StatusCode::NOT_MODIFIED if self.may_be_due(&granted.document, &request.bucket) => {
                return Ok(self.unmodified(request, granted, &conditions, &head.headers).await?);
            }
            _ => return Ok(client_response(head.status, headers::to_client(&head.headers), body)),
        }
        let metadata = headers::sealed_metadata(&head.headers).map_err(unreadable)?;
        if let Some(answer) = conditions.judge(&head.headers, metadata.is_some())? {
            return Ok(answer);
        }
        let keys = headers::customer_keys(&request.headers);
        let stored = Stored::read(head.headers, request.query("versionId"), keys)?;
        if let Some(metadata) = metadata {
            if !conditions.range_applies(&stored.headers, true, head.status) {
                wanted = Wanted::Whole;
            }
            let whole = (head.status == StatusCode::OK).then_some(body);
            return self.get_sealed(request, granted, &stored, Some(&metadata), whole, wanted, part).await;
        }
        let start = stored.headers.get(CONTENT_RANGE).and_then(parse_content_range).map_or(0, |(start, _)| start);
        let (first, body) = if start == 0 && stored.len >= envelope::MAGIC.len() as u64 {
            let peeked = prefix::peek(body, envelope::MAGIC.len()).await;
            peeked.map_err(|error| Error::slow_down("The storage broke off. Try again.").because(error))?
        } else {
            (bytes::Bytes::new(), body)
        };
        let begins = match begins_with_magic(&first) {
            // Fewer bytes than tell, and all of them as in a sealed object.
            None if !first.is_empty() => self.begins_sealed(request, granted, &stored).await?,
            begins => begins == Some(true),
        };
        let (document, bucket, key) = (&granted.document, &request.bucket, &request.key);
        if begins || self.known_sealed(document, bucket, key, &stored.headers).await {
            // Its metadata was stripped: what lies there is not what was stored as plain.
            let whole = (head.status == StatusCode::OK).then_some(body);
            return self.get_sealed(request, granted, &stored, None, whole, wanted, part).await;
        }
        if granted.document.bucket(&request.bucket).refuse_plain_reads {
            return Err(Error::access_denied("Objects that are not encrypted are not read from this bucket.").into());
        }
        let len = content_length(&stored.headers);
        let tally = Tally::new(&self.stats, &request.bucket, None, Outcome::Plain, len);
        let body = Counted::new(body, len, tally).boxed_unsync();
        Ok(client_response(head.status, headers::to_client(&stored.headers), body))
    }

    /// Whether a stored object that a range of a few bytes was read from begins with the magic.
    async fn begins_sealed(&self, request: &Request, granted: &Granted, stored: &Stored) -> Result<bool, Failed> {
        let len = envelope::MAGIC.len() as u64;
        let start = self.fetch(&granted.place, &request.key, stored, 0..len).await?.into_body();
        let (start, _) = prefix::peek(start, envelope::MAGIC.len())
            .await
            .map_err(|error| Error::slow_down("The storage broke off. Try again.").because(error))?;
        Ok(begins_with_magic(&start) == Some(true))
    }

    /// Whether the ledger knows that what the storage shows as plain was stored encrypted.
    pub(super) async fn known_sealed(
        &self,
        document: &crate::group::Document,
        bucket: &str,
        key: &str,
        stored: &HeaderMap,
    ) -> bool {
        if !self.may_be_due(document, bucket) {
            return false;
        }
        let etag = stored.get(ETAG).and_then(|etag| etag.to_str().ok()).unwrap_or_default();
        let item = (key.to_owned(), etag.trim_matches('"').to_owned());
        self.ledger.look_up(bucket, vec![item]).await.into_iter().flatten().any(|found| found.known.encrypted)
    }

    /// The storage says by a date that the object is what the client has. Its answer does not say whether that is
    /// encrypted, which decides the `ETag` that the client is shown.
    pub(super) async fn unmodified(
        &self,
        request: &Request,
        granted: &Granted,
        conditions: &Conditions,
        head: &HeaderMap,
    ) -> Result<Response<Body>, Error> {
        let mut sealed = self.known_sealed(&granted.document, &request.bucket, &request.key, head).await;
        if !sealed && head.contains_key(ETAG) {
            let version = request.query("versionId").map(|version| ("versionId", version));
            let target = upstream::uri(&granted.place.bucket, Some(&request.key), version.as_slice());
            let mut look = upstream::request(Method::HEAD, target);
            look.headers_mut().extend(headers::customer_keys(&request.headers));
            let seen = self.send(&granted.place.upstream, look).await?;
            if !seen.status().is_success() {
                return Err(Error::slow_down("The object could not be looked up. Try again.")
                    .because(format!("HEAD: {}", seen.status())));
            }
            sealed = headers::sealed_metadata(seen.headers()).map_err(unreadable)?.is_some();
        }
        if let Some(answer) = conditions.judge(head, sealed)? {
            return Ok(answer);
        }
        let mut shown = headers::to_client(head);
        if sealed && let Some(etag) = head.get(ETAG) {
            shown.insert(ETAG, headers::visible_etag(etag));
        }
        Ok(client_response(StatusCode::NOT_MODIFIED, shown, upstream::empty()))
    }

    #[expect(clippy::too_many_arguments, reason = "one straight path, called from one function")]
    async fn get_sealed(
        &self,
        request: &Request,
        granted: &Granted,
        stored: &Stored,
        metadata: Option<&Metadata>,
        whole: Option<Body>,
        wanted: Wanted,
        part: Option<u16>,
    ) -> Result<Response<Body>, Failed> {
        let multipart = metadata.and_then(Metadata::header).is_none_or(envelope::Header::is_multipart);
        let all = part.is_some() || wanted == Wanted::Whole;
        let checked = all && wants_checksums(request);
        let (whole, footer) = match whole {
            Some(body) if checked && !multipart && stored.len <= KEPT => read_footer(body, stored.len).await?,
            whole => (whole, None),
        };
        let object = if let Some(footer) = footer {
            self.open_by_footer(granted, &request.key, stored, metadata, footer).await?
        } else {
            let with_footer = checked || (part.is_some() && multipart);
            self.open(granted, &request.key, stored, metadata, with_footer).await?
        };
        let len = object.plaintext_len();
        let range = match part {
            None => wanted.of(len)?,
            Some(number) => {
                let range = part_of(&object, number)?;
                if range.is_empty() && len > 0 {
                    return Ok(self.empty_part(request, granted, stored, &object, number)?);
                }
                (!range.is_empty()).then_some(range)
            }
        };
        let (read, bytes) = match (&range, whole) {
            (None, Some(body)) => (object.read_whole(stored.len).map_err(super::open::unopened)?, Some(body)),
            (None, None) => (object.read_whole(stored.len).map_err(super::open::unopened)?, None),
            (Some(range), _) => (object.read_range(range.clone()).map_err(super::open::unopened)?, None),
        };
        let body = match bytes {
            Some(body) => body,
            None => self.fetch(&granted.place, &request.key, stored, read.stored.clone()).await?.into_body(),
        };
        Ok(self.sealed_answer(request, granted, stored, &object, read, range.as_ref(), part, body).await?)
    }

    /// A part without bytes, of an object that has some: the footer, which was authenticated, says that it is so.
    fn empty_part(
        &self,
        request: &Request,
        granted: &Granted,
        stored: &Stored,
        object: &envelope::Object,
        number: u16,
    ) -> Result<Response<Body>, Error> {
        let policy = object.header().policy().map(|policy| policy.name.as_str());
        let kms = Some(object.header().kms_id());
        let checksums = checksum_of(request, Some(number), None);
        let by_storage = granted.place.upstream.takes_sse();
        let mut head = shown_headers(stored, 0, kms, by_storage, Some(object), checksums)?;
        head.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        head.insert("x-amz-mp-parts-count", HeaderValue::from(object.parts().len()));
        Tally::new(&self.stats, &request.bucket, policy, Outcome::Encrypted, 0).delivered();
        Ok(client_response(StatusCode::PARTIAL_CONTENT, head, upstream::empty()))
    }

    /// Answers a range or a part of an object whose layout is known with one request, which names the `ETag` of what is
    /// known. None: nothing is known, or it is not so any more, and the read starts cold.
    async fn get_known(&self, request: &Request, granted: &Granted) -> Result<Option<Response<Body>>, Error> {
        let part = part_number(request)?;
        let wanted = Wanted::asked(request, granted.place.upstream.quirks());
        let (key, version) = (request.key.as_str(), request.query("versionId"));
        let bounded = part.is_some() || wanted != Wanted::Whole;
        // The storage does not look at the date of a request that names an ETag, as this one will; beside the client's own
        // it would not either.
        let has = |name| request.headers.contains_key(name);
        let asks_more = has("if-range") || (has("if-unmodified-since") && !has("if-match"));
        if !bounded || asks_more || !self.may_be_due(&granted.document, &request.bucket) {
            return Ok(None);
        }
        let Some(known) = self.footers.get(&granted.place, key, version) else { return Ok(None) };
        // A part may be all there is, whose checksum only the footer has.
        if part.is_some() && known.footer.is_none() && wants_checksums(request) {
            return Ok(None);
        }
        let object = match (&known.footer, known.metadata.as_ref().and_then(Metadata::header)) {
            (Some(footer), _) => self.open_footer(granted, key, footer).await.map(Some),
            (None, Some(header)) => self.open_header(granted, key, header).await,
            (None, None) => Ok(None),
        };
        // Without its key what is known is of no use; what there is now may need none.
        let Ok(Some(object)) = object else { return Ok(None) };
        // What is out of bounds may be so of the old object only: the storage is asked what there is now.
        let range = match part {
            Some(number) => part_of(&object, number).ok(),
            None => wanted.of(object.plaintext_len()).ok().flatten(),
        };
        let Some(range) = range.filter(|range| !range.is_empty()) else { return Ok(None) };
        let read = object.read_range(range.clone()).map_err(super::open::unopened)?;
        let (conditions, mut head) = Conditions::split(self, request, granted);
        let text = format!("bytes={}-{}", read.stored.start, read.stored.end - 1);
        head.insert(RANGE, HeaderValue::from_str(&text).expect("digits are a header value"));
        head.insert("if-match", condition(&granted.place, &known.etag));
        let mut query = request.pairs();
        query.retain(|(name, _)| *name != "partNumber");
        let mut sent = HttpRequest::new(upstream::empty());
        *sent.uri_mut() = upstream::uri(&granted.place.bucket, Some(key), &query);
        *sent.headers_mut() = head;
        let response = self.send(&granted.place.upstream, sent).await?;
        let (head, body) = response.into_parts();
        let got = head.headers.get(CONTENT_RANGE).and_then(parse_content_range);
        let same = head.status == StatusCode::PARTIAL_CONTENT
            && got == Some((read.stored.start, known.stored_len))
            && head.headers.get(ETAG) == Some(&known.etag)
            && headers::sealed_metadata(&head.headers).is_ok_and(|metadata| metadata == known.metadata);
        if !same {
            self.footers.forget(&granted.place, key, version);
            return Ok(None);
        }
        if let Some(answer) = conditions.judge(&head.headers, true)? {
            return Ok(Some(answer));
        }
        let stored = Stored::read(head.headers, version, headers::customer_keys(&request.headers))?;
        self.sealed_answer(request, granted, &stored, &object, read, Some(&range), part, body).await.map(Some)
    }

    /// The response with what is read of a sealed object, once its first bytes are authenticated.
    #[expect(clippy::too_many_arguments, reason = "one straight path")]
    async fn sealed_answer(
        &self,
        request: &Request,
        granted: &Granted,
        stored: &Stored,
        object: &envelope::Object,
        read: envelope::Read,
        range: Option<&std::ops::Range<u64>>,
        part: Option<u16>,
        body: Body,
    ) -> Result<Response<Body>, Error> {
        let len = object.plaintext_len();
        let shown_len = read.opener.plaintext_len();
        let policy = object.header().policy().map(|policy| policy.name.as_str());
        let tally = Tally::new(&self.stats, &request.bucket, policy, Outcome::Encrypted, shown_len);
        let mut opening = Opening::new(body, read.opener, tally);
        opening.prime().await?;
        let checksums = checksum_of(request, part, range);
        let by_storage = granted.place.upstream.takes_sse();
        let kms = Some(object.header().kms_id());
        let mut head = shown_headers(stored, shown_len, kms, by_storage, Some(object), checksums)?;
        head.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        let mut status = StatusCode::OK;
        if let Some(range) = range {
            status = StatusCode::PARTIAL_CONTENT;
            head.insert(CONTENT_RANGE, content_range(range, len));
        }
        if part.is_some() && object.header().is_multipart() {
            head.insert("x-amz-mp-parts-count", HeaderValue::from(object.parts().len()));
            status = StatusCode::PARTIAL_CONTENT;
        }
        Ok(client_response(status, head, opening.boxed_unsync()))
    }

    /// The storage says that the range lies behind the end, or that it has no such part; of an encrypted object the end is
    /// another one. It is opened, so that the length that is told is authentic: who reads on takes it for the end.
    /// Conditions come before the range (RFC 9110, section 13.2.2), and the storage was not told of them.
    async fn beyond(
        &self,
        request: &Request,
        granted: &Granted,
        conditions: &Conditions,
        refusal: Response<Body>,
        wanted: Wanted,
        part: Option<u16>,
    ) -> Result<Response<Body>, Failed> {
        let version: Vec<_> = request.pairs().into_iter().filter(|(name, _)| *name == "versionId").collect();
        let target = upstream::uri(&granted.place.bucket, Some(&request.key), &version);
        let keys = headers::customer_keys(&request.headers);
        let mut look = upstream::request(Method::HEAD, target);
        look.headers_mut().extend(keys.clone());
        let seen = self.send(&granted.place.upstream, look).await?;
        if seen.status() == StatusCode::OK {
            let metadata = headers::sealed_metadata(seen.headers()).map_err(unreadable)?;
            if let Some(answer) = conditions.judge(seen.headers(), metadata.is_some())? {
                return Ok(answer);
            }
            if let Some(metadata) = metadata {
                let stored = Stored::read(seen.headers().clone(), request.query("versionId"), keys)?;
                return self.get_sealed(request, granted, &stored, Some(&metadata), None, wanted, part).await;
            }
        }
        let (head, body) = refusal.into_parts();
        Ok(client_response(head.status, headers::to_client(&head.headers), body))
    }
}

/// The plaintext range of a part, as `partNumber` asks for it.
pub(super) fn part_of(object: &envelope::Object, number: u16) -> Result<std::ops::Range<u64>, Error> {
    // Clients count the parts that they see, in order.
    let number = object.parts().get(usize::from(number) - 1).map(|part| part.number);
    number.and_then(|number| object.part_range(number)).ok_or_else(no_such_part)
}

pub(super) fn no_such_part() -> Error {
    Error::new(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidPartNumber", "The requested partnumber is not satisfiable")
}

/// The part that is asked for.
pub(super) fn part_number(request: &Request) -> Result<Option<u16>, Error> {
    let Some(text) = request.query("partNumber") else { return Ok(None) };
    let number = text.parse().ok().filter(|number| (1..=10_000).contains(number));
    let number = number
        .ok_or_else(|| Error::invalid_argument("Part number must be an integer between 1 and 10000, inclusive"))?;
    if request.headers.contains_key(RANGE) {
        return Err(Error::invalid_request("Cannot specify both Range header and partNumber query parameter."));
    }
    Ok(Some(number))
}

/// The footer of a small object whose whole body is there, and that body again.
async fn read_footer(body: Body, stored_len: u64) -> Result<(Option<Body>, Option<Footer>), Error> {
    let limit = usize::try_from(stored_len).unwrap_or(usize::MAX);
    let bytes = upstream::collect(body, limit).await;
    let bytes = bytes.map_err(|error| Error::slow_down("The storage broke off. Try again.").because(error))?;
    let bytes = bytes.ok_or_else(|| Error::internal("The storage gives more than it announced."))?;
    let start = bytes.len().saturating_sub(usize::try_from(envelope::FOOTER_GUESS).unwrap_or(usize::MAX));
    let mut read = Footer::parse(&bytes[start..], stored_len);
    if let Ok(FooterRead::NeedSuffix(_)) = read {
        read = Footer::parse(&bytes, stored_len);
    }
    match read {
        Ok(FooterRead::Footer(footer)) => Ok((Some(upstream::full(bytes)), Some(footer))),
        // What is wrong with it is found when it is opened.
        Ok(FooterRead::NeedSuffix(_)) | Err(_) => Ok((Some(upstream::full(bytes)), None)),
    }
}

/// Of what a read shows a checksum: one of the whole would be taken for a wrong one of a range.
pub(super) fn checksum_of(request: &Request, part: Option<u16>, range: Option<&std::ops::Range<u64>>) -> ChecksumOf {
    if !wants_checksums(request) {
        return ChecksumOf::Nothing;
    }
    match (part, range) {
        (Some(number), _) => ChecksumOf::Part(number),
        (None, None) => ChecksumOf::Object,
        (None, Some(_)) => ChecksumOf::Nothing,
    }
}

/// Whether the client asks for checksums.
pub(super) fn wants_checksums(request: &Request) -> bool {
    request.header("x-amz-checksum-mode").is_some_and(|mode| mode.eq_ignore_ascii_case("enabled"))
}

fn content_length(headers: &HeaderMap) -> u64 {
    headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or_default()
}

/// The conditions of a read. Where the visible `ETag` may differ from the stored one, they are judged here, on the
/// response; otherwise the storage judges them.
pub(super) struct Conditions {
    if_match: Option<String>,
    if_none_match: Option<String>,
    /// `If-Range`; it goes on to the storage, too, which judges it by what it has.
    range: Option<String>,
    /// Whether each of the others is one `ETag`, whatever it looks like.
    one_etag: bool,
}

impl Conditions {
    /// Conditions on an `ETag`, as in `If-Match` and `If-None-Match`.
    pub(super) fn new(if_match: Option<String>, if_none_match: Option<String>) -> Self {
        Self { if_match, if_none_match, range: None, one_etag: false }
    }

    /// The conditions that are judged here, and the headers that go on.
    pub(super) fn split(front: &Front, request: &Request, granted: &Granted) -> (Self, HeaderMap) {
        let mut head = headers::to_storage(&request.headers);
        let range = request.header("if-range").map(str::to_owned);
        if !front.may_be_due(&granted.document, &request.bucket) {
            for name in ["if-match", "if-none-match"] {
                if let Some(value) = head.get(name) {
                    let value = condition(&granted.place, value);
                    head.insert(http::HeaderName::from_static(name), value);
                }
            }
            return (Self { range, ..Self::new(None, None) }, head);
        }
        let mut take = |name: &str, shadowed: &str| {
            let value = head.remove(name)?;
            // RFC 9110, section 13.2.2: the date is not looked at beside the ETag.
            head.remove(shadowed);
            value.to_str().ok().map(str::to_owned)
        };
        let if_match = take("if-match", "if-unmodified-since");
        let if_none_match = take("if-none-match", "if-modified-since");
        (Self { if_match, if_none_match, range, one_etag: granted.place.upstream.quirks().reads_name_one_etag }, head)
    }

    /// Whether the range is to be answered, as `If-Range` says (RFC 9110, section 13.1.5): by the `ETag` that clients see,
    /// or by the date, for which the storage's status tells.
    pub(super) fn range_applies(&self, stored: &HeaderMap, sealed: bool, status: StatusCode) -> bool {
        let Some(wanted) = &self.range else { return true };
        if !wanted.contains('"') {
            return status == StatusCode::PARTIAL_CONTENT;
        }
        let etag = stored.get(ETAG).map(|etag| if sealed { headers::visible_etag(etag) } else { etag.clone() });
        etag.is_some_and(|etag| etag == wanted.as_str())
    }

    /// `PreconditionFailed`, an answer of 304, or none: go on.
    pub(super) fn judge(&self, stored: &HeaderMap, sealed: bool) -> Result<Option<Response<Body>>, Error> {
        let Some(etag) = stored.get(ETAG) else { return Ok(None) };
        let etag = if sealed { headers::visible_etag(etag) } else { etag.clone() };
        let text = etag.to_str().unwrap_or_default().trim_matches('"');
        let names = |list: &String| if self.one_etag { list.trim_matches('"') == text } else { names(list, text) };
        if self.if_match.as_ref().is_some_and(|list| !names(list)) {
            return Err(Error::precondition_failed("At least one of the pre-conditions you specified did not hold"));
        }
        if self.if_none_match.as_ref().is_some_and(names) {
            let mut head = HeaderMap::new();
            head.insert(ETAG, etag);
            for name in ["last-modified", "cache-control", "expires", "x-amz-version-id"] {
                if let Some(value) = stored.get(name) {
                    head.insert(http::HeaderName::from_static(name), value.clone());
                }
            }
            return Ok(Some(client_response(StatusCode::NOT_MODIFIED, head, upstream::empty())));
        }
        Ok(None)
    }
}

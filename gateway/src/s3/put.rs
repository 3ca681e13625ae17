//! `PutObject`.

use std::sync::{Arc, Mutex, PoisonError};

use envelope::{PolicyRef, Recorded, SingleSealer, begins_with_magic};
use http::header::{CONTENT_LENGTH, ETAG};
use http::{HeaderMap, HeaderValue, Method, Request as HttpRequest, Response, StatusCode};
use http_body_util::BodyExt as _;
use ids::{Cause, KmsId, Outcome};

use super::access::{Granted, Permit, Place, Protection};
use super::checksum::{self, Declared};
use super::error::Error;
use super::headers;
use super::request::Request;
use super::upload::{BeforeCommit, Ending, Sink, Upload, Verified, broken};
use super::{Front, prefix};
use crate::state::ledger::Known;
use crate::stats::{Count, Fact, Intent, Pending, Stats};
use crate::upstream::{self, Body};

/// The largest object that is stored by one PUT, in stored bytes: what S3 allows.
const MAX_STORED: u64 = 5 << 30;
/// Up to this many plaintext bytes the MD5 of a plain object is computed, to recognise the write after a kill.
const MD5_UP_TO: u64 = 1 << 20;

impl Front {
    pub(super) async fn put(&self, mut request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        headers::refuse_reserved(&request.headers)?;
        let declared = Declared::read(&request.headers)?;
        let len = request.body_length()?;
        let mut permit = self.permit(&request, &granted, Some(len))?;
        let slot = Slot::new(&self.stats, &request.bucket);
        let mut body = request.take_body();
        if permit.protection() == Protection::Plain {
            let start;
            (start, body) = prefix::peek(body, envelope::MAGIC.len()).await.map_err(|error| broken(&error))?;
            if begins_with_magic(&start) == Some(true) {
                permit = permit.sealed_for_its_looks();
            }
        }
        let conditions = self.put_conditions(&request, &granted).await?;
        match permit.protection() {
            Protection::Plain => {
                self.put_plain(request, &granted, &permit, body, len, &declared, conditions, &slot).await
            }
            Protection::Sealed(cause) => {
                self.put_sealed(request, &granted, &permit, cause, body, len, &declared, conditions, &slot).await
            }
        }
    }

    /// Stores an object as it is. `slot`: counts what becomes of it.
    #[expect(clippy::too_many_arguments, reason = "one straight path, called once")]
    pub(super) async fn put_plain(
        &self,
        request: Request,
        granted: &Granted,
        permit: &Permit,
        body: Body,
        len: u64,
        declared: &Declared,
        conditions: HeaderMap,
        slot: &Slot,
    ) -> Result<Response<Body>, Error> {
        let before = self.journal(
            slot,
            &request,
            permit,
            len,
            declared.md5().map(|md5| Fact::Etag { etag: hex::encode(md5), size: len }),
        );
        let (upload, ending) =
            Upload::new(body, len, declared, request.trailers.clone(), Sink::Plain(len), len <= MD5_UP_TO, before);
        let mut head = headers::to_storage(&request.headers);
        if request.header("x-amz-trailer").is_some() {
            headers::drop_checks(&mut head);
        }
        let response = self.store(&request, &granted.place, head, conditions, upload, ending, len, slot).await?;
        let (head, body) = response.into_parts();
        if head.status.is_success() && self.may_be_due(&granted.document, &request.bucket) {
            self.footers.forget(&granted.place, &request.key, None);
            self.learn(&request, head.headers.get(ETAG), Known { encrypted: false, size: len, kms: None });
        }
        Ok(client_response(head.status, headers::to_client(&head.headers), body))
    }

    /// Stores an object sealed. `slot`: counts what becomes of it.
    #[expect(clippy::too_many_arguments, reason = "one straight path, called once")]
    pub(super) async fn put_sealed(
        &self,
        request: Request,
        granted: &Granted,
        permit: &Permit,
        cause: Cause,
        body: Body,
        len: u64,
        declared: &Declared,
        conditions: HeaderMap,
        slot: &Slot,
    ) -> Result<Response<Body>, Error> {
        let wrapping = self.wrapping().await?;
        self.remember_due(&granted.document, &request.bucket).await?;
        let recorded = Self::recorded(&granted.place, &request.key, cause, permit, &wrapping)?;
        let client = headers::user_metadata(&request.headers);
        let sealer = SingleSealer::new(&recorded, &wrapping.kek, len, &client, &declared.algorithms())
            .map_err(|error| Error::internal("The object could not be sealed; nothing was stored.").because(error))?;
        let stored_len = sealer.stored_len();
        if stored_len > MAX_STORED {
            return Err(Error::entity_too_large("Your proposed upload exceeds the maximum allowed size."));
        }
        let metadata = sealer.metadata().clone();
        let before = self.journal(slot, &request, permit, len, mark_of_entries(&metadata).map(Fact::Mark));
        let (upload, ending) =
            Upload::new(body, len, declared, request.trailers.clone(), Sink::Single(Box::new(sealer)), false, before);
        let mut head = headers::to_storage(&request.headers);
        headers::drop_checks(&mut head);
        let mut carrier = HttpRequest::new(upstream::empty());
        *carrier.headers_mut() = head;
        headers::set_user_metadata(&mut carrier, &metadata)?;
        let head = std::mem::take(carrier.headers_mut());
        let verified = ending.clone();
        let response = self.store(&request, &granted.place, head, conditions, upload, ending, stored_len, slot).await?;
        let (head, body) = response.into_parts();
        let mut shown = headers::to_client(&head.headers);
        if head.status.is_success() {
            self.footers.forget(&granted.place, &request.key, None);
            let kms = Some(wrapping.kms.clone());
            self.learn(&request, head.headers.get(ETAG), Known { encrypted: true, size: len, kms });
            headers::drop_checks(&mut shown);
            if let Some(etag) = head.headers.get(ETAG) {
                shown.insert(ETAG, headers::visible_etag(etag));
            }
            headers::append_encryption(&mut shown, Some(wrapping.kms.as_str()));
            if let Some(Ok(Verified { checksums, .. })) = verified.take() {
                for (algorithm, value) in checksums {
                    shown.insert(checksum::header_name(algorithm), checksum::encode(&value));
                    shown.insert("x-amz-checksum-type", HeaderValue::from_static("FULL_OBJECT"));
                }
            }
        }
        Ok(client_response(head.status, shown, body))
    }

    /// Sends an upload, and says what became of it: the storage's answer, or the refusal of the client's body.
    #[expect(clippy::too_many_arguments, reason = "one straight path")]
    pub(super) async fn store(
        &self,
        request: &Request,
        place: &Place,
        mut head: HeaderMap,
        conditions: HeaderMap,
        mut upload: Upload,
        ending: Ending,
        stored_len: u64,
        slot: &Slot,
    ) -> Result<Response<Body>, Error> {
        upload.verify_if_empty().await?;
        head.insert(CONTENT_LENGTH, HeaderValue::from(stored_len));
        for name in ["if-match", "if-none-match"] {
            head.remove(name);
        }
        head.extend(conditions);
        let mut sent = HttpRequest::new(upload.boxed_unsync());
        *sent.method_mut() = Method::PUT;
        *sent.uri_mut() = upstream::uri(&place.bucket, Some(&request.key), &request.pairs());
        *sent.headers_mut() = head;
        let result = self.send(&place.upstream, sent).await;
        // The client's own fault explains whatever the storage says.
        if let Some(pending) = slot.take() {
            match &result {
                Ok(response) if response.status().is_success() => pending.done(),
                // What the storage did is not known: a look will tell.
                Ok(response) if response.status().is_server_error() => drop(pending),
                Ok(_) => pending.ended(Outcome::Failed, 0),
                Err(_) => drop(pending),
            }
        } else {
            // Nothing was committed: the body failed, or the storage refused before its end.
            if let Some(Err(error)) = ending.take() {
                return Err(error);
            }
            if result.as_ref().is_ok_and(|response| response.status().is_success()) {
                return Err(Error::slow_down("The storage answered before it had the object. Try again."));
            }
        }
        result
    }

    /// Writes the intent down before the last bytes leave.
    pub(super) fn journal(
        &self,
        slot: &Slot,
        request: &Request,
        permit: &Permit,
        bytes: u64,
        fact: Option<Fact>,
    ) -> BeforeCommit {
        let (stats, slot) = (self.stats.clone(), slot.clone());
        let (bucket, key) = (request.bucket.clone(), request.key.clone());
        let (outcome, policy) = (permit.outcome(), permit.counted_policy().map(str::to_owned));
        let decided = permit.guard().share();
        Box::new(move |verified: &Verified| {
            let etag = || verified.md5.clone().map(|etag| Fact::Etag { etag, size: bytes });
            let fact = fact.or_else(etag).unwrap_or(Fact::None);
            let policy = policy.as_deref();
            let intent = Intent { bucket: &bucket, key: &key, policy, outcome, bytes, fact };
            slot.set(stats.intent(intent).holding(decided));
        })
    }

    /// The conditions of a write as the storage must see them. An `ETag` that ends in `-1` may be that of an encrypted
    /// object: a HEAD tells.
    pub(super) async fn put_conditions(&self, request: &Request, granted: &Granted) -> Result<HeaderMap, Error> {
        let mut conditions = HeaderMap::new();
        let bare = granted.place.upstream.quirks().bare_etag_conditions;
        if let Some(value) = request.headers.get("if-none-match") {
            conditions.insert("if-none-match", value.clone());
        }
        if let Some(wanted) = request.header("if-match") {
            let mut etag = wanted.to_owned();
            if wanted != "*" && self.may_be_due(&granted.document, &request.bucket) {
                let target = upstream::uri(&granted.place.bucket, Some(&request.key), &[]);
                let mut head = upstream::request(Method::HEAD, target);
                head.headers_mut().extend(headers::customer_keys(&request.headers));
                let response = self.send(&granted.place.upstream, head).await?;
                match response.status() {
                    StatusCode::OK => {}
                    StatusCode::NOT_FOUND => return Err(Error::no_such_key("The specified key does not exist.")),
                    status => {
                        return Err(
                            Error::slow_down("The condition could not be checked.").because(format!("HEAD: {status}"))
                        );
                    }
                }
                let stored = response.headers().get(ETAG).and_then(|v| v.to_str().ok()).unwrap_or_default();
                let sealed = headers::sealed_metadata(response.headers()).map_err(unreadable)?.is_some();
                let visible = if sealed { headers::visible_etag_text(stored) } else { stored.to_owned() };
                if visible.trim_matches('"') != wanted.trim_matches('"') {
                    return Err(Error::precondition_failed(
                        "At least one of the pre-conditions you specified did not hold",
                    ));
                }
                etag = stored.to_owned();
            }
            if bare {
                etag = etag.trim_matches('"').to_owned();
            }
            let value = HeaderValue::from_str(&etag).map_err(|_| Error::invalid_argument("If-Match is no ETag."))?;
            conditions.insert("if-match", value);
        }
        Ok(conditions)
    }

    /// What is recorded in a sealed object.
    pub(super) fn recorded(
        place: &Place,
        key: &str,
        cause: Cause,
        permit: &Permit,
        wrapping: &crate::keys::Wrapping,
    ) -> Result<Recorded, Error> {
        let place = envelope::Place::new(place.bucket.as_bytes(), key.as_bytes()).map_err(|error| {
            Error::new(StatusCode::BAD_REQUEST, "KeyTooLongError", "Your key is too long").because(error)
        })?;
        let policy = permit.policy().map(|policy| PolicyRef {
            uid: *policy.uid.0.as_bytes(),
            name: policy.name.clone(),
            lineage: *policy.revision.lineage.0.as_bytes(),
            revision: policy.revision.number,
        });
        Ok(Recorded {
            place,
            kms_id: wrapping.kms.as_str().to_owned(),
            kek_record: wrapping.record.as_bytes().to_vec(),
            cause: match cause {
                Cause::Policy => envelope::Cause::Policy,
                Cause::Toggle => envelope::Cause::Toggle,
                Cause::Client => envelope::Cause::Client,
                Cause::Floor => envelope::Cause::Floor,
            },
            policy,
            sealed_at_ms: u64::try_from(crate::state::now_ms()).unwrap_or_default(),
            writer: concat!("sealgate-gateway ", env!("CARGO_PKG_VERSION")).to_owned(),
        })
    }

    /// The KEK for one data key. 503 where none can be had: never plaintext instead.
    pub(super) async fn wrapping(&self) -> Result<crate::keys::Wrapping, Error> {
        self.keys.wrapping().await.map_err(|error| {
            Error::slow_down("Encryption is due and no key can be had; nothing was stored. Try again later.")
                .because(error)
        })
    }

    /// Records for good that the bucket holds encrypted objects, before the first of them is stored: lists of every
    /// member look at sizes from then on.
    pub(super) async fn remember_due(&self, document: &crate::group::Document, bucket: &str) -> Result<(), Error> {
        if document.buckets.get(bucket).is_some_and(|settings| settings.ever_due.is_some()) {
            return Ok(());
        }
        let now = u64::try_from(crate::state::now_ms()).unwrap_or_default();
        self.group.edit(|document| document.record_due(bucket, now)).await.map_err(|error| {
            Error::slow_down("The bucket's first encrypted object could not be noted; nothing was stored.")
                .because(error)
        })
    }

    /// Tells the ledger what was stored under which `ETag`.
    pub(super) fn learn(&self, request: &Request, etag: Option<&HeaderValue>, known: Known) {
        if let Some(etag) = etag.and_then(|etag| etag.to_str().ok()) {
            self.ledger.record(&request.bucket, &request.key, etag.trim_matches('"'), known);
        }
    }
}

/// What counts one write, exactly once: its intent, once that is journalled; until then it counts as failed when the
/// request ends, whichever way.
#[derive(Clone)]
pub(super) struct Slot(Arc<Mutex<Counting>>);

enum Counting {
    /// Nothing can have been committed yet.
    Before(Failing),
    /// The storage may commit it.
    Begun(Pending),
    /// The outcome is somebody else's to tell, or told.
    Over,
}

/// Counts a failed write when it is dropped while it is armed.
struct Failing {
    stats: Stats,
    bucket: String,
    armed: bool,
}

impl Drop for Failing {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let (outcome, direction) = (Outcome::Failed, ids::Direction::In);
        self.stats.count(Count { bucket: &self.bucket, policy: None, outcome, direction, bytes: 0 });
    }
}

impl Slot {
    /// For one object that is about to be written.
    pub(super) fn new(stats: &Stats, bucket: &str) -> Self {
        let failing = Failing { stats: stats.clone(), bucket: bucket.to_owned(), armed: true };
        Self(Arc::new(Mutex::new(Counting::Before(failing))))
    }

    fn set(&self, pending: Pending) {
        let mut counting = self.lock();
        if let Counting::Before(failing) = &mut *counting {
            failing.armed = false;
        }
        *counting = Counting::Begun(pending);
    }

    /// Takes the intent. None: nothing can have been committed, which is counted now.
    pub(super) fn take(&self) -> Option<Pending> {
        match std::mem::replace(&mut *self.lock(), Counting::Over) {
            Counting::Begun(pending) => Some(pending),
            Counting::Before(_) | Counting::Over => None,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A text that is unique to one sealed object and stands in its metadata, where there was room for the header.
fn mark_of_entries(metadata: &envelope::UserMetadata) -> Option<String> {
    let header = metadata.iter().find(|(name, _)| name == MARK)?;
    mark(&header.1)
}

/// The metadata entry from which the mark is made.
const MARK: &str = "x-amz-meta-gse-h";

/// The mark of a stored object, from the storage's headers.
pub fn mark_of_headers(headers: &HeaderMap) -> Option<String> {
    mark(headers.get(MARK)?.as_bytes())
}

fn mark(header: &[u8]) -> Option<String> {
    // It begins with the wrapped data key, whose nonce is random: 96 bits and more.
    header.get(..32).and_then(|start| std::str::from_utf8(start).ok()).map(str::to_owned)
}

/// A stored object whose metadata of ours cannot be read.
pub(super) fn unreadable(error: envelope::FormatError) -> Error {
    Error::internal(format!("The stored object cannot be read: {error}.")).because(error)
}

pub(super) fn client_response(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The KMS of an object as the ledger has it.
pub(super) fn kms_of(text: Option<&str>) -> Option<KmsId> {
    text.and_then(|text| text.parse().ok())
}

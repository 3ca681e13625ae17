//! `PutObject`.

use envelope::{SingleSealer, begins_with_magic};
use http::header::{CONTENT_LENGTH, ETAG, EXPECT};
use http::{HeaderMap, HeaderValue, Method, Request as HttpRequest, Response};
use http_body_util::BodyExt as _;
use ids::{Cause, Outcome};

use super::access::{Granted, Permit, Place, Protection};
use super::checksum::{self, Declared};
use super::error::Error;
use super::headers::{self, client_response};
use super::request::{Principal, Request};
use super::upload::{Ending, Sink, Upload, Verified, broken};
use super::write::{Slot, mark_of_entries};
use super::{Front, prefix};
use crate::state::ledger::Known;
use crate::stats::Fact;
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
        let mut lookalike = None;
        if permit.protection() == Protection::Plain {
            if asks_first(&request, len) {
                let (watched, found) = prefix::watched(body);
                (body, lookalike) = (watched, Some(found));
            } else {
                let start;
                (start, body) = prefix::peek(body, envelope::MAGIC.len()).await.map_err(|error| broken(&error))?;
                if begins_with_magic(&start) == Some(true) {
                    permit = permit.sealed_as_lookalike();
                }
            }
        }
        let conditions = self.put_conditions(&request, &granted).await?;
        if permit.protection() == Protection::Plain {
            let held = conditions.clone();
            let stored = self.put_plain(&request, &granted, &permit, body, len, &declared, held, &slot).await;
            let Some(whole) = lookalike.and_then(|found| found.take()) else { return stored };
            // Nothing was stored: it broke off before its first byte.
            (permit, body) = (permit.sealed_as_lookalike(), whole);
        }
        let Protection::Sealed(cause) = permit.protection() else {
            return Err(Error::internal("The object was to be sealed; nothing was stored."));
        };
        self.put_sealed(&request, &granted, &permit, cause, body, len, &declared, conditions, &slot).await
    }

    /// Stores an object as it is. `slot`: counts what becomes of it.
    #[expect(clippy::too_many_arguments, reason = "one straight path, called once")]
    pub(super) async fn put_plain(
        &self,
        request: &Request,
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
            request,
            permit,
            len,
            declared.md5().map(|md5| Fact::Etag { etag: hex::encode(md5), size: len }),
        );
        let (upload, ending) =
            Upload::new(body, len, declared, request.trailers.clone(), Sink::Plain(len), len <= MD5_UP_TO, before);
        let mut head = headers::to_storage(&request.headers);
        declared.announce(&mut head);
        let response = self.store(request, &granted.place, head, conditions, upload, ending, len, slot).await?;
        let (head, body) = response.into_parts();
        if head.status.is_success() && self.may_be_due(&granted.document, &request.bucket) {
            self.footers.forget(&granted.place, &request.key, None);
            self.learn(request, &head.headers, Known { encrypted: false, size: len, kms: None });
        }
        Ok(client_response(head.status, headers::to_client(&head.headers), body))
    }

    /// Stores an object sealed. `slot`: counts what becomes of it.
    #[expect(clippy::too_many_arguments, reason = "one straight path, called once")]
    pub(super) async fn put_sealed(
        &self,
        request: &Request,
        granted: &Granted,
        permit: &Permit,
        cause: Cause,
        body: Body,
        len: u64,
        declared: &Declared,
        conditions: HeaderMap,
        slot: &Slot,
    ) -> Result<Response<Body>, Error> {
        let declared = declared.clone().for_object(&request.headers);
        let wrapping = self.wrapping().await?;
        self.remember_due(&granted.document, &request.bucket).await?;
        let recorded = Self::recorded(&granted.place, &request.key, cause, permit, &wrapping)?;
        let client = headers::user_metadata(&request.headers);
        headers::refuse_long(&client)?;
        let sealer = SingleSealer::new(&recorded, &wrapping.kek, len, &client, &declared.algorithms())
            .map_err(|error| Error::internal("The object could not be sealed; nothing was stored.").because(error))?;
        let stored_len = sealer.stored_len();
        if stored_len > MAX_STORED {
            return Err(Error::entity_too_large("Your proposed upload exceeds the maximum allowed size."));
        }
        let metadata = sealer.metadata().clone();
        let before = self.journal(slot, request, permit, len, mark_of_entries(&metadata).map(Fact::Mark));
        let (upload, ending) =
            Upload::new(body, len, &declared, request.trailers.clone(), Sink::Single(Box::new(sealer)), false, before);
        let mut head = headers::to_storage(&request.headers);
        headers::drop_checks(&mut head);
        let mut carrier = HttpRequest::new(upstream::empty());
        *carrier.headers_mut() = head;
        headers::set_user_metadata(&mut carrier, &metadata)?;
        let head = std::mem::take(carrier.headers_mut());
        let verified = ending.clone();
        let response = self.store(request, &granted.place, head, conditions, upload, ending, stored_len, slot).await?;
        let (head, body) = response.into_parts();
        let mut shown = headers::to_client(&head.headers);
        if head.status.is_success() {
            self.footers.forget(&granted.place, &request.key, None);
            let kms = Some(wrapping.kms.clone());
            self.learn(request, &head.headers, Known { encrypted: true, size: len, kms });
            headers::drop_checks(&mut shown);
            if let Some(etag) = head.headers.get(ETAG) {
                shown.insert(ETAG, headers::visible_etag(etag));
            }
            let of_storage = granted.place.upstream.takes_sse().then_some(&head.headers);
            headers::append_encryption(&mut shown, Some(wrapping.kms.as_str()), of_storage);
            if let Some(Ok(Verified { checksums, .. })) = verified.take() {
                for (algorithm, value) in checksums {
                    shown.insert(checksum::header_name(algorithm), checksum::encode(&value));
                    shown.insert("x-amz-checksum-type", HeaderValue::from_static("FULL_OBJECT"));
                }
            }
        }
        let mut response = client_response(head.status, shown, body);
        response.extensions_mut().insert(Sealed);
        Ok(response)
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
        headers::set_conditions(&mut head, conditions);
        let mut sent = HttpRequest::new(upload.boxed_unsync());
        *sent.method_mut() = Method::PUT;
        *sent.uri_mut() = upstream::uri(&place.bucket, Some(&request.key), &request.pairs());
        *sent.headers_mut() = head;
        if asks_first(request, stored_len) {
            sent.extensions_mut().insert(upstream::AskFirst);
        }
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
}

/// On the answer to a write: the object was sealed here. Its headers do not tell: a storage that encrypts by a KMS of its own
/// names that in the same ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sealed;

/// Whether the client waits with its body until it is told to go on, and is told so by the storage: it may refuse. A long
/// body waits for the storage anyway. A short one is kept, and sent again where the storage is busy; it waits only where
/// nobody signed, since then the storage alone knows who may write.
fn asks_first(request: &Request, len: u64) -> bool {
    let refusable = len > upstream::KEPT || (len > 0 && request.principal == Principal::Anonymous);
    refusable && request.headers.contains_key(EXPECT)
}

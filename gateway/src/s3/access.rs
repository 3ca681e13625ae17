//! Who may do what, and whether an incoming object is to be encrypted.
//!
//! ```text
//! Request ── grant() ──▶ Granted {where it lies} ── permit(facts) ──▶ Permit {encrypt or not, why, under which revision}
//! ```
//! A [`Permit`] can be made here only. Whoever writes object data upstream must hold one, and holds it until the write
//! has ended: it keeps the policy set that decided from being superseded unseen.

use std::sync::Arc;

use ids::{Cause, Outcome};
use policy::{Decision, Facts, PolicyRef, Verdict};

use super::Front;
use super::error::Error;
use super::headers;
use super::operations::{Data, Operation};
use super::request::{Principal, Request};
use crate::group::{Action, Document};
use crate::snapshot::DecisionGuard;
use crate::upstream::Upstream;

/// Where a bucket really lies.
#[derive(Clone)]
pub struct Place {
    /// The storage.
    pub upstream: Upstream,
    /// The bucket's name there.
    pub bucket: String,
}

/// A request that its principal may make.
pub struct Granted {
    /// Where the bucket lies.
    pub place: Place,
    /// The group document by which it was judged.
    pub document: Arc<Document>,
}

/// What is done with an incoming object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// It is stored as it is.
    Plain,
    /// It is sealed, for this reason.
    Sealed(Cause),
}

/// The right to store one object, and how. Hold it until the write has ended.
pub struct Permit {
    protection: Protection,
    policy: Option<Arc<PolicyRef>>,
    outcome: Outcome,
    counted_policy: Option<Arc<PolicyRef>>,
    judge_at_complete: bool,
    guard: DecisionGuard,
}

impl Permit {
    /// Plain or sealed.
    pub fn protection(&self) -> Protection {
        self.protection
    }

    /// The policy to be recorded in the object.
    pub fn policy(&self) -> Option<&Arc<PolicyRef>> {
        self.policy.as_ref()
    }

    /// What the object counts as once it is stored.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Name of the policy that it counts under.
    pub fn counted_policy(&self) -> Option<&str> {
        self.counted_policy.as_deref().map(|policy| policy.name.as_str())
    }

    /// A deny policy needs the true size; judge again at Complete.
    pub fn judge_at_complete(&self) -> bool {
        self.judge_at_complete
    }

    /// The policy set that decided.
    pub fn guard(&self) -> &DecisionGuard {
        &self.guard
    }

    /// The same object sealed although nothing asked for it, because its plaintext would be taken for a sealed object.
    #[must_use]
    pub fn sealed_as_lookalike(mut self) -> Self {
        if self.protection == Protection::Plain {
            self.protection = Protection::Sealed(Cause::Lookalike);
            self.outcome = Outcome::Encrypted;
            self.counted_policy = None;
        }
        self
    }
}

impl Front {
    /// Judges the grants of a request about its own bucket. Fails closed: without a signature only what a bucket that
    /// is opened for anonymous reads allows.
    pub fn grant(&self, request: &Request) -> Result<Granted, Error> {
        let document = self.group.document();
        let operation = request.operation;
        self.allow(&document, request, operation.action(), &request.bucket)?;
        if headers::gives_rights_away(&request.headers) {
            self.allow(&document, request, Action::Manage, &request.bucket)?;
        }
        let place = self.place_for(request, &document, &request.bucket)?;
        if matches!(operation, Operation::GetObject | Operation::HeadObject) && !place.upstream.takes_sse() {
            headers::refuse_encryption(&request.headers)?;
        }
        if operation.writes() {
            self.writable()?;
        }
        // At the service itself there are no objects.
        let around = operation.data() == Data::Around && !request.bucket.is_empty();
        if around && self.may_be_due(&document, &request.bucket) {
            return Err(Error::not_implemented(format!(
                "{} is not offered in a bucket where encryption may be due.",
                if operation == Operation::Unknown { "This request" } else { operation.name() }
            )));
        }
        Ok(Granted { place, document })
    }

    /// Whether the principal of the request may do `action` in `bucket`, which need not be the request's own.
    pub fn allow(&self, document: &Document, request: &Request, action: Action, bucket: &str) -> Result<(), Error> {
        let allowed = match &request.principal {
            // The storage judges by its own rules, of which nothing of ours is any part.
            Principal::Anonymous => {
                opened(document, request.operation, action, bucket)
                    || request.operation.is_for_the_storage()
                        && self
                            .place(document, bucket)
                            .is_ok_and(|place| place.upstream.spoken_to_by_nobody().is_some())
            }
            // Whoever may use the console may give themselves every grant. What is judged all the same are policies.
            Principal::Console => true,
            Principal::Key(key) => document.credential(key).is_some_and(|credential| credential.allows(action, bucket)),
        };
        if allowed { Ok(()) } else { Err(Error::access_denied("Access Denied")) }
    }

    /// Where a bucket lies, spoken to as whoever asks.
    pub fn place_for(&self, request: &Request, document: &Document, bucket: &str) -> Result<Place, Error> {
        let Place { upstream, bucket: backing } = self.place(document, bucket)?;
        let upstream = match &request.principal {
            Principal::Anonymous if opened(document, request.operation, request.operation.action(), bucket) => upstream,
            principal => spoken_to_by(principal, document, &upstream)?,
        };
        Ok(Place { upstream, bucket: backing })
    }

    /// Where a bucket lies, spoken to as the gateway itself. `NoSuchBucket` for what is hidden from clients: the system bucket, and a backing bucket that
    /// has another name for them.
    pub fn place(&self, document: &Document, bucket: &str) -> Result<Place, Error> {
        let hidden = || Error::no_such_bucket("The specified bucket does not exist");
        let mapping = document.buckets.get(bucket).and_then(|settings| settings.mapping.as_ref());
        let place = match mapping {
            None => Place { upstream: self.upstreams.home().clone(), bucket: bucket.to_owned() },
            Some(mapping) => {
                let upstream = self.upstreams.get(&mapping.backend).cloned().ok_or_else(|| {
                    Error::internal(format!("The backend {} is not configured at this gateway.", mapping.backend))
                })?;
                Place { upstream, bucket: mapping.backing_bucket.clone() }
            }
        };
        // In a host name PAYROLL is payroll, whose toggle, policies and grants go by the name as it was written.
        if place.upstream.names_buckets_in_hosts() && place.bucket.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(hidden());
        }
        let home = self.upstreams.home().name();
        if place.upstream.name() == home && place.bucket == self.settings.system_bucket {
            return Err(hidden());
        }
        if mapping.is_none() && self.is_backing_bucket(document, bucket) {
            return Err(hidden());
        }
        Ok(place)
    }

    /// Whether a bucket of the home backend is what another name stands for.
    pub fn is_backing_bucket(&self, document: &Document, bucket: &str) -> bool {
        let home = self.upstreams.home().name();
        document.buckets.iter().any(|(name, settings)| {
            name != bucket && settings.mapping.as_ref().is_some_and(|m| m.backend == home && m.backing_bucket == bucket)
        })
    }

    /// Whether an object of the bucket may be, or may have become, encrypted: sizes and `ETags` need a look, and nothing
    /// may pass around the gateway.
    pub fn may_be_due(&self, document: &Document, bucket: &str) -> bool {
        self.settings.floor
            || document.ever_due(bucket)
            || holds_former_objects(document, bucket)
            || self.policies.current().engine.acts_on(bucket)
    }

    /// `SlowDown` where this member has had no current group document for too long.
    pub fn writable(&self) -> Result<(), Error> {
        self.group.writable().map_err(|stale| {
            Error::slow_down("This gateway has no current configuration and refuses writes.").because(stale)
        })
    }

    /// The policy set that a write will be decided by, with everything that is looked up for it.
    pub fn begin_decision(&self) -> Result<DecisionGuard, Error> {
        self.writable()?;
        Ok(self.policies.begin())
    }

    /// Decides about one incoming object. Denied: counted, and `AccessDenied`.
    pub fn permit(&self, request: &Request, granted: &Granted, size: Option<u64>) -> Result<Permit, Error> {
        let tags = parse_tags(request.header("x-amz-tagging"))?;
        let metadata = metadata_facts(&request.headers);
        let content_type = text_fact(&request.headers, "content-type");
        let facts = Facts {
            size,
            content_type: &content_type,
            metadata: &metadata,
            tags: &tags,
            storage_class: request.header("x-amz-storage-class").unwrap_or("STANDARD"),
            principal: request.principal.access_key(),
            operation: request.operation.name(),
            time_unix_ms: crate::state::now_ms(),
            source_ip: request.source_ip,
            ..Facts::new(&request.bucket, &request.key)
        };
        let wish = wishes(request, &granted.place)?;
        self.decide(self.begin_decision()?, &granted.document, &facts, wish)
    }

    /// Decides by facts that were gathered otherwise, as for copies.
    pub fn decide(
        &self,
        guard: DecisionGuard,
        document: &Document,
        facts: &Facts<'_>,
        wish: bool,
    ) -> Result<Permit, Error> {
        let Decision { verdict, policy, judge_at_complete, audit, errors, .. } = guard.engine.decide(facts);
        if verdict == Verdict::Deny {
            self.stats.count(crate::stats::Count {
                bucket: facts.bucket,
                policy: policy.as_deref().map(|policy| policy.name.as_str()),
                outcome: Outcome::Denied,
                direction: ids::Direction::In,
                bytes: facts.size.unwrap_or_default(),
            });
            let name = policy.as_deref().map_or("", |policy| policy.name.as_str());
            return Err(Error::access_denied(format!("The governance policy {name} denies this request.")));
        }
        let floor = self.settings.floor || document.floor_covers(facts.bucket);
        let cause = if verdict == Verdict::Encrypt {
            Some(Cause::Policy)
        } else if document.toggled(facts.bucket) {
            Some(Cause::Toggle)
        } else if wish {
            Some(Cause::Client)
        } else {
            floor.then_some(Cause::Floor)
        };
        let protection = cause.map_or(Protection::Plain, Protection::Sealed);
        let (outcome, counted_policy) = match (protection, audit.first(), errors.first()) {
            (Protection::Sealed(_), ..) => (Outcome::Encrypted, policy.clone()),
            (Protection::Plain, Some(audit), _) => match audit.effect {
                policy::Effect::Deny => (Outcome::WouldDeny, Some(Arc::clone(&audit.policy))),
                policy::Effect::Encrypt => (Outcome::WouldEncrypt, Some(Arc::clone(&audit.policy))),
            },
            (Protection::Plain, None, Some(error)) => (Outcome::Error, Some(Arc::clone(&error.policy))),
            (Protection::Plain, None, None) => (Outcome::Plain, None),
        };
        for error in &errors {
            tracing::warn!(policy = error.policy.name, message = error.message, "policy cannot be evaluated");
        }
        Ok(Permit { protection, policy, outcome, counted_policy, judge_at_complete, guard })
    }
}

/// Whether the bucket is open to whoever reads in it without a signature; the gateway then reads for them.
fn opened(document: &Document, operation: Operation, action: Action, bucket: &str) -> bool {
    matches!(action, Action::Read | Action::List)
        && matches!(
            operation,
            Operation::GetObject | Operation::HeadObject | Operation::ListObjects | Operation::HeadBucket
        )
        && document.bucket(bucket).anonymous_reads
}

/// A storage as this principal speaks to it: by the identity that its credential has there, without one as the gateway
/// itself, and as nobody where there is no signature.
pub(super) fn spoken_to_by(principal: &Principal, document: &Document, upstream: &Upstream) -> Result<Upstream, Error> {
    match principal {
        Principal::Console => Ok(upstream.clone()),
        Principal::Anonymous => upstream.spoken_to_by_nobody().ok_or_else(|| Error::access_denied("Access Denied")),
        Principal::Key(key) => {
            let identity = document.credential(key).and_then(|credential| credential.identities.get(upstream.name()));
            Ok(identity.map_or_else(|| upstream.clone(), |one| upstream.spoken_to_by(&one.access_key, &one.secret)))
        }
    }
}

/// Whether the client asks the service to encrypt, and the gateway is that service.
pub(super) fn wishes(request: &Request, place: &Place) -> Result<bool, Error> {
    Ok(!place.upstream.takes_sse() && headers::wishes_encryption(&request.headers)?)
}

/// Whether objects that were sealed for another place may lie in a bucket: it was told their former place.
pub(super) fn holds_former_objects(document: &Document, bucket: &str) -> bool {
    let mapping = document.buckets.get(bucket).and_then(|settings| settings.mapping.as_ref());
    let backing = mapping.map_or(bucket, |mapping| mapping.backing_bucket.as_str());
    document.former_places.iter().any(|former| former.bucket == backing)
}

/// The pairs of `x-amz-tagging`: a query string. `InvalidArgument` for what cannot be read, or names a tag twice: policies
/// must judge the tags that the storage will keep.
pub fn parse_tags(header: Option<&str>) -> Result<Vec<(String, String)>, Error> {
    let wrong = || {
        Error::invalid_argument(
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.",
        )
    };
    let tags = super::request::parse_query(header).map_err(|error| wrong().because(error.message))?;
    let twice = (1..tags.len()).any(|at| tags[..at].iter().any(|(name, _)| *name == tags[at].0));
    if twice { Err(wrong()) } else { Ok(tags) }
}

/// A header as policies see it; empty where there is none. What is no UTF-8 is shown as such, never as absent.
pub fn text_fact(headers: &http::HeaderMap, name: &str) -> String {
    headers.get(name).map_or_else(String::new, |value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// User metadata as policies see it: names without the prefix.
pub fn metadata_facts(headers: &http::HeaderMap) -> Vec<(String, String)> {
    let entries = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix("x-amz-meta-").filter(|_| !envelope::is_reserved(name.as_str()))?;
        Some((name.to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_as_the_storage_reads_them_or_refused() {
        let tags = parse_tags(Some("classification=pii&Expires=never&X-Amz-Date=1&a%20b=c+d&e")).unwrap();
        let names: Vec<_> = tags.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            names,
            [("classification", "pii"), ("Expires", "never"), ("X-Amz-Date", "1"), ("a b", "c d"), ("e", "")]
        );
        assert!(parse_tags(None).unwrap().is_empty());
        for bad in ["classification=pii&x=%ff", "a=1&a=2", "a=1&%61=2"] {
            assert_eq!(parse_tags(Some(bad)).unwrap_err().code, "InvalidArgument", "{bad}");
        }
    }
}

//! Conditions of writes and deletions, by the `ETags` and sizes that clients see.
//!
//! ```text
//! client's condition ─▶ may the object be encrypted? ─ no ─▶ passes ──────────────────────────────▶ the storage judges,
//!                                 └ yes ─▶ HEAD ─▶ holds? ─ no ─▶ 412    └ yes ─▶ as the storage has it ─▶   atomically
//! ```
//! The storage judges at the moment of the commit, by the very object that was looked at here. **A storage that looks at
//! the conditions of a PUT only** (Ceph RGW 16, see [`only_put_is_conditional`](crate::upstream::Quirks)) is not asked:
//! the gateway judges Complete and deletions itself, right before it sends them. A write that comes in between, through
//! any gateway, is then not noticed; what would have been refused a moment before is never let through. Copies with
//! conditions are stored there by a PUT.

use http::header::{CONTENT_LENGTH, ETAG, IF_MATCH, IF_NONE_MATCH, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

use super::Front;
use super::access::Granted;
use super::error::{Error, unreadable};
use super::headers;
use super::request::Request;
use crate::upstream;

/// Of a deletion: the time at which the object was last modified.
const MODIFIED: HeaderName = HeaderName::from_static("x-amz-if-match-last-modified-time");
/// Of a deletion: how many bytes the object has.
const SIZE: HeaderName = HeaderName::from_static("x-amz-if-match-size");

/// An object as a HEAD shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// As the storage has it, without quotes.
    stored: String,
    /// As clients see it, without quotes.
    visible: String,
    /// Plaintext bytes.
    size: u64,
    /// Stored bytes.
    stored_len: u64,
    modified: Option<OffsetDateTime>,
}

/// What a deletion depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Deletion {
    /// `ETag`, or `*`.
    pub etag: Option<String>,
    /// Plaintext bytes.
    pub size: Option<String>,
    /// A date, as HTTP or XML writes it.
    pub modified: Option<String>,
}

impl Front {
    /// The conditions of a PUT as the storage must see them. `PreconditionFailed` where they do not hold.
    pub(super) async fn put_conditions(&self, request: &Request, granted: &Granted) -> Result<HeaderMap, Error> {
        let texts = [IF_MATCH, IF_NONE_MATCH].map(|name| request.header(name.as_str()).map(str::to_owned));
        let by_etag = texts.iter().flatten().any(|text| text != "*");
        let seen = if by_etag && self.may_be_due(&granted.document, &request.bucket) {
            self.seen(granted, &request.key, None, headers::customer_keys(&request.headers)).await?
        } else {
            None
        };
        let [if_match, if_none_match] = texts;
        let if_match = if_match.map(|text| match &seen {
            Some(seen) if text != "*" => seen.matched(&text).then(|| seen.stored.clone()).ok_or_else(not_held),
            _ => Ok(text),
        });
        let if_none_match = if_none_match.map(|text| match &seen {
            Some(seen) if text != "*" => seen.unmatched(&text),
            _ => Ok(text),
        });
        let mut conditions = HeaderMap::new();
        for (name, text) in [(IF_MATCH, if_match), (IF_NONE_MATCH, if_none_match)] {
            if let Some(text) = text.transpose()? {
                conditions.insert(name, etag_condition(granted, &text)?);
            }
        }
        Ok(conditions)
    }

    /// The conditions of Complete as the storage must see them; see the module for one that would not look.
    pub(super) async fn complete_conditions(&self, request: &Request, granted: &Granted) -> Result<HeaderMap, Error> {
        let [if_match, if_none_match] = [IF_MATCH, IF_NONE_MATCH].map(|name| request.header(name.as_str()));
        if !granted.place.upstream.quirks().only_put_is_conditional || (if_match.is_none() && if_none_match.is_none()) {
            return self.put_conditions(request, granted).await;
        }
        match (if_match, self.seen(granted, &request.key, None, headers::customer_keys(&request.headers)).await?) {
            (Some(_), None) => Err(Error::no_such_key("The specified key does not exist.")),
            (Some(list), Some(seen)) if !names(list, &seen.visible) => Err(not_held()),
            (_, Some(seen)) if if_none_match.is_some_and(|list| names(list, &seen.visible)) => Err(not_held()),
            _ => Ok(HeaderMap::new()),
        }
    }

    /// The conditions of a deletion as the storage must see them.
    pub(super) async fn delete_conditions(&self, request: &Request, granted: &Granted) -> Result<HeaderMap, Error> {
        let text = |name: &HeaderName| request.header(name.as_str()).map(str::to_owned);
        let asked = Deletion { etag: text(&IF_MATCH), size: text(&SIZE), modified: text(&MODIFIED) };
        let judged = self.judge_deletion(request, granted, &request.key, request.query("versionId"), &asked).await?;
        let mut conditions = HeaderMap::new();
        if let Some(etag) = judged.etag {
            conditions.insert(IF_MATCH, etag_condition(granted, &etag)?);
        }
        for (name, value) in [(SIZE, judged.size), (MODIFIED, judged.modified)] {
            if let Some(value) = value {
                let wrong = |_| Error::invalid_argument(format!("{name} is malformed."));
                conditions.insert(name.clone(), HeaderValue::from_str(&value).map_err(wrong)?);
            }
        }
        Ok(conditions)
    }

    /// What the storage is to judge of a deletion. `PreconditionFailed` where it does not hold. What is not there is not
    /// judged here: nothing of it can be lost.
    pub(super) async fn judge_deletion(
        &self,
        request: &Request,
        granted: &Granted,
        key: &str,
        version: Option<&str>,
        asked: &Deletion,
    ) -> Result<Deletion, Error> {
        let unheeded = granted.place.upstream.quirks().only_put_is_conditional;
        let translated = asked.size.is_some() || asked.etag.as_deref().is_some_and(|etag| etag != "*");
        let any = translated || asked.etag.is_some() || asked.modified.is_some();
        let looks = any && unheeded || translated && self.may_be_due(&granted.document, &request.bucket);
        if !looks {
            return Ok(asked.clone());
        }
        let Some(seen) = self.seen(granted, key, version, HeaderMap::new()).await? else { return Ok(asked.clone()) };
        let judged = seen.allows(asked)?;
        Ok(if unheeded { Deletion::default() } else { judged })
    }

    /// What lies there now; none: nothing.
    async fn seen(
        &self,
        granted: &Granted,
        key: &str,
        version: Option<&str>,
        keys: HeaderMap,
    ) -> Result<Option<Seen>, Error> {
        let version = version.map(|version| ("versionId", version));
        let target = upstream::uri(&granted.place.bucket, Some(key), version.as_slice());
        let mut head = upstream::request(Method::HEAD, target);
        head.headers_mut().extend(keys);
        let response = self.send(&granted.place.upstream, head).await?;
        match response.status() {
            StatusCode::OK => Seen::read(response.headers()).map(Some),
            // A delete marker, asked for by its version, is no object either.
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Ok(None),
            status => Err(Error::unseen(status, "The condition could not be checked")),
        }
    }
}

impl Seen {
    fn read(head: &HeaderMap) -> Result<Self, Error> {
        let text = |name: HeaderName| head.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let stored = text(ETAG).trim_matches('"').to_owned();
        let unclear = |_| Error::internal("The storage does not say how long the object is.");
        let stored_len = text(CONTENT_LENGTH).parse().map_err(unclear)?;
        let (visible, size) = match headers::sealed_metadata(head).map_err(unreadable)? {
            None => (stored.clone(), stored_len),
            Some(metadata) => (headers::visible_etag_text(&stored), Front::sealed_len(&metadata, stored_len)?),
        };
        Ok(Self {
            stored,
            visible,
            size,
            stored_len,
            modified: OffsetDateTime::parse(text(LAST_MODIFIED), &Rfc2822).ok(),
        })
    }

    fn matched(&self, list: &str) -> bool {
        names(list, &self.visible)
    }

    /// `If-None-Match` with `ETags`, as the storage must see it.
    fn unmatched(&self, list: &str) -> Result<String, Error> {
        let sealed = self.visible != self.stored;
        if sealed && names(list, &self.visible) {
            return Err(not_held());
        }
        let bare = list.trim().trim_matches('"');
        if sealed && bare == self.stored {
            // To the client it is another one; the storage would take it for this.
            return Ok(format!("\"{}\"", self.visible));
        }
        // An encrypted object that comes in between has it without what is shown behind it.
        let stored = bare.strip_suffix("-1").filter(|hex| hex.len() == 32 && !self.stored.contains('-'));
        Ok(stored.map_or_else(|| list.to_owned(), |hex| format!("\"{hex}\"")))
    }

    /// The conditions of a deletion as the storage has what they name.
    fn allows(&self, asked: &Deletion) -> Result<Deletion, Error> {
        let mut judged = asked.clone();
        if let Some(etag) = asked.etag.as_deref().filter(|etag| *etag != "*") {
            judged.etag = Some(self.matched(etag).then(|| self.stored.clone()).ok_or_else(not_held)?);
        }
        if let Some(size) = &asked.size {
            let wrong = |_| Error::invalid_argument("The size of a condition is not a number.");
            let wanted: u64 = size.trim().parse().map_err(wrong)?;
            judged.size = Some((wanted == self.size).then(|| self.stored_len.to_string()).ok_or_else(not_held)?);
        }
        if let Some(text) = &asked.modified {
            let text = text.trim();
            let date = OffsetDateTime::parse(text, &Rfc2822).or_else(|_| OffsetDateTime::parse(text, &Rfc3339));
            let date = date.map_err(|_| Error::invalid_argument("The time of a condition is not one."))?;
            // Headers have whole seconds.
            if self.modified.is_some_and(|seen| seen.unix_timestamp() != date.unix_timestamp()) {
                return Err(not_held());
            }
        }
        Ok(judged)
    }
}

fn not_held() -> Error {
    Error::precondition_failed("At least one of the pre-conditions you specified did not hold")
}

/// Whether a list of `ETags`, or `*`, names this one (RFC 9110, section 13.1.1).
pub(super) fn names(list: &str, etag: &str) -> bool {
    list.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/").trim_matches('"') == etag)
}

/// `*`, or `ETags`, as the storage wants them.
fn etag_condition(granted: &Granted, text: &str) -> Result<HeaderValue, Error> {
    let bare = granted.place.upstream.quirks().bare_etag_conditions;
    let quoted = text == "*" || text.contains('"') || bare;
    let text = match (bare, quoted) {
        (true, _) => text.trim_matches('"').to_owned(),
        (false, true) => text.to_owned(),
        (false, false) => format!("\"{text}\""),
    };
    HeaderValue::from_str(&text).map_err(|_| Error::invalid_argument("A condition is no ETag."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef";

    fn seen(visible: &str) -> Seen {
        Seen {
            stored: HEX.into(),
            visible: visible.into(),
            size: 5,
            stored_len: 70,
            modified: Some(OffsetDateTime::UNIX_EPOCH),
        }
    }

    #[test]
    fn a_deletion_is_judged_by_what_clients_see_and_asked_for_by_what_the_storage_has() {
        let object = seen(&format!("{HEX}-1"));
        let ask = |etag: Option<&str>, size: Option<&str>, modified: Option<&str>| {
            let own = |text: Option<&str>| text.map(str::to_owned);
            object.allows(&Deletion { etag: own(etag), size: own(size), modified: own(modified) }).map_err(|e| e.code)
        };
        let shown = format!("\"{HEX}-1\"");
        let held = ask(Some(&shown), Some("5"), Some("Thu, 01 Jan 1970 00:00:00 GMT")).unwrap();
        assert_eq!((held.etag.as_deref(), held.size.as_deref()), (Some(HEX), Some("70")));
        assert!(ask(None, None, Some("1970-01-01T00:00:00.500Z")).is_ok());
        assert_eq!(ask(Some("*"), None, None).unwrap().etag.as_deref(), Some("*"));
        for (etag, size, modified) in [
            (Some(HEX), None, None),
            (None, Some("70"), None),
            (None, None, Some("Thu, 01 Jan 1970 00:00:01 GMT")),
            (Some(shown.as_str()), Some("6"), None),
        ] {
            assert_eq!(ask(etag, size, modified), Err("PreconditionFailed"), "{etag:?} {size:?} {modified:?}");
        }
        assert_eq!(ask(None, Some("five"), None), Err("InvalidArgument"));
        assert_eq!(ask(None, None, Some("yesterday")), Err("InvalidArgument"));
    }

    #[test]
    fn a_tag_that_must_not_match_is_told_to_the_storage_as_it_has_it() {
        let (shown, quoted) = (format!("{HEX}-1"), format!("\"{HEX}\""));
        let (sealed, plain) = (seen(&shown), seen(HEX));
        assert_eq!(sealed.unmatched(&shown).unwrap_err().code, "PreconditionFailed");
        assert_eq!(sealed.unmatched(HEX).unwrap(), format!("\"{shown}\""), "the storage must not find it equal");
        assert_eq!(plain.unmatched(&quoted).unwrap(), quoted, "the storage refuses it");
        let other = "f".repeat(32);
        assert_eq!(sealed.unmatched(&format!("\"{other}-1\"")).unwrap(), format!("\"{other}\""));
        assert_eq!(sealed.unmatched("bad").unwrap(), "bad");
    }

    #[test]
    fn a_list_names_what_is_in_it() {
        assert!(names("*", "a") && names("\"b\", W/\"a\"", "a") && names("a", "a"));
        assert!(!names("\"a-1\"", "a") && !names("", "a"));
    }
}

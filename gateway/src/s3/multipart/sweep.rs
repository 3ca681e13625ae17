//! What is kept of uploads that are over is removed; what is open is counted.
//!
//! ```text
//! mp/ID/… ─▶ done                     ─▶ the upload is over: what is left beside the record goes at once,
//!         │                              the record itself once Complete need not be repeated any more
//!         ├▶ upload or plain          ─▶ the storage knows the upload: open, or aborted where that is so for too long
//!         │                           └▶ surely not: noted as gone, and removed when that has been so for long
//!         ├▶ copy                     ─▶ an upload of the gateway's own: aborted once it is older than any copy under way
//!         ├▶ neither                  ─▶ left over from a removal: noted as gone, then removed
//!         └▶ anything unreadable      ─▶ told and kept
//! ```
//! A look that fails removes nothing. The note `gone` is what makes the time between the storage's Complete and our own
//! record of it harmless: nothing is removed at first sight.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::super::Front;
use super::state::{About, Kind, MAX_STATE, StoredDone, about, name};
use super::{MAX_ANSWER, field};
use crate::snapshot;
use crate::state::{now_ms, unix_time};
use crate::system::{Entry, SystemError};
use crate::upstream;

/// Open uploads that are counted; further ones are told in the log.
const MOST_OPEN: usize = 100_000;
/// Reads at work at once.
const PARALLEL: usize = 16;

/// How long what is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ages {
    /// The record of a completed upload: Complete may be repeated for so long.
    pub(crate) done: Duration,
    /// The state of an upload that the storage does not know: so long after that was first seen.
    pub(crate) gone: Duration,
    /// The upload of a copy whose note was not renewed for so long: whoever made it is no more.
    pub(crate) copy: Duration,
    /// An upload that was begun so long ago is aborted; none: never, as in S3.
    pub(crate) open: Option<Duration>,
}

impl Default for Ages {
    fn default() -> Self {
        let day = Duration::from_hours(24);
        Self { done: day, gone: day, copy: day, open: None }
    }
}

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// States that were looked at.
    pub(crate) looked_at: u64,
    /// States that were removed.
    pub(crate) removed: u64,
    /// States that could not be read, and are kept.
    pub(crate) unreadable: u64,
    /// The sweep goes on after this one; none: everything was looked at.
    pub(crate) after: Option<String>,
}

/// Since when the storage is known not to know an upload.
#[derive(Serialize, Deserialize)]
struct Gone {
    seen_ms: i64,
}

/// What is to be done with one state.
enum Found {
    /// Its upload is open, or it is not known whether.
    Keep,
    /// Its upload is over.
    Over,
    Removed,
    Unreadable(&'static str),
}

impl Front {
    /// Every open upload of the group, as the system bucket has them: changes nothing, and asks only for what is not
    /// known here yet.
    pub(crate) async fn open_uploads(&self) -> Result<Vec<snapshot::Upload>, SystemError> {
        let mut open = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let (page, more) = self.states(after.as_deref()).await?;
            let mut reads: Vec<BoxFuture<'_, Result<Option<snapshot::Upload>, SystemError>>> = Vec::new();
            for (id, names) in page.iter().filter(|(_, names)| !names.contains("done") && !names.contains("copy")) {
                match self.policies.known_upload(id) {
                    Some(known) => open.push(known),
                    None => reads.push(Box::pin(self.open_upload(id, names))),
                }
            }
            let mut reading = futures_util::stream::iter(reads).buffer_unordered(PARALLEL);
            while let Some(found) = reading.next().await {
                open.extend(found?);
            }
            after = page.last().map(|(id, _)| id.clone());
            if !more || after.is_none() {
                return Ok(open);
            }
            if open.len() >= MOST_OPEN {
                tracing::warn!(counted = open.len(), "more multipart uploads are open than are counted");
                return Ok(open);
            }
        }
    }

    async fn open_upload(&self, id: &str, names: &BTreeSet<String>) -> Result<Option<snapshot::Upload>, SystemError> {
        let system = self.group.system();
        // Names of a long page may be missing: what matters is asked for.
        if !names.contains("upload")
            && !names.contains("plain")
            && system.get(&name(id, "done"), MAX_STATE).await?.is_some()
        {
            return Ok(None);
        }
        for (what, kind) in [("upload", Kind::Sealed), ("plain", Kind::Plain)] {
            let Some(stored) = system.get(&name(id, what), MAX_STATE).await? else { continue };
            // One that cannot be read is open for all that is known.
            let about = about(id, &stored, kind);
            return Ok(Some(snapshot::Upload {
                id: id.to_owned(),
                revision: about.as_ref().and_then(|about| about.revision),
                begun_at: unix_time(about.map_or_else(now_ms, |about| about.begun_ms)),
            }));
        }
        Ok(None)
    }

    /// Looks at no more than `most` states after `after`, and removes what is over. Ends early where `go_on` says so.
    pub(crate) async fn sweep_uploads(
        &self,
        after: Option<String>,
        most: usize,
        ages: Ages,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Swept, SystemError> {
        let mut swept = Swept { after, ..Swept::default() };
        let mut left = most;
        loop {
            let (page, more) = self.states(swept.after.as_deref()).await?;
            let end = page.len() <= left && !more;
            for (at, (id, names)) in page.iter().take(left).enumerate() {
                if !go_on() {
                    return Ok(swept);
                }
                swept.looked_at += 1;
                // The last state of a page may go on in the next.
                let alone = names.len() == 1 && (at + 1 < page.len() || !more);
                let found = if names.contains("copy") {
                    self.sweep_copy(id, ages).await?
                } else {
                    self.sweep_upload(id, alone, ages).await?
                };
                match found {
                    Found::Keep | Found::Over => {}
                    Found::Removed => swept.removed += 1,
                    Found::Unreadable(what) => {
                        swept.unreadable += 1;
                        tracing::error!(state = id, what, "state of a multipart upload cannot be read and is kept");
                    }
                }
                swept.after = Some(id.clone());
            }
            left = left.saturating_sub(page.len());
            if end {
                swept.after = None;
                return Ok(swept);
            }
            if left == 0 {
                return Ok(swept);
            }
        }
    }

    /// `alone`: nothing lies beside what was found first of the state.
    async fn sweep_upload(&self, id: &str, alone: bool, ages: Ages) -> Result<Found, SystemError> {
        let system = self.group.system();
        if id.len() != 40 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Found::Unreadable("name"));
        }
        if let Some(done) = system.get(&name(id, "done"), MAX_STATE).await? {
            let Ok(done) = serde_json::from_slice::<StoredDone>(&done) else { return Ok(Found::Unreadable("done")) };
            if !alone {
                self.forget_upload(id).await;
            }
            if !is_older(done.at_ms, ages.done) {
                return Ok(Found::Over);
            }
            // The record last, and only alone: without it, what is left would be an open upload.
            let prefix = name(id, "");
            let rest = system.list(&prefix, None).await?.entries;
            if rest.iter().any(|entry| entry.key != name(id, "done")) {
                return Ok(Found::Over);
            }
            system.delete(&name(id, "done")).await?;
            return Ok(Found::Removed);
        }
        let mut upload = None;
        for (what, kind) in [("upload", Kind::Sealed), ("plain", Kind::Plain)] {
            if let Some(stored) = system.get(&name(id, what), MAX_STATE).await? {
                let Some(about) = about(id, &stored, kind) else { return Ok(Found::Unreadable(what)) };
                upload = Some(about);
                break;
            }
        }
        let gone = match &upload {
            Some(about) => self.is_gone(about).await,
            // An upload is noted before any of its parts: without a note there is none.
            None => Some(true),
        };
        let mark = name(id, "gone");
        match gone {
            None => Ok(Found::Keep),
            Some(false) => {
                system.delete(&mark).await?;
                let old = |about: &About| ages.open.is_some_and(|age| is_older(about.begun_ms, age));
                let Some(about) = upload.filter(old) else { return Ok(Found::Keep) };
                self.abort_old(id, &about).await
            }
            Some(true) => {
                let noted = system.get(&mark, MAX_STATE).await?;
                let noted = noted.and_then(|noted| serde_json::from_slice::<Gone>(&noted).ok());
                match noted {
                    Some(noted) if is_older(noted.seen_ms, ages.gone) => {
                        self.policies.upload_ended(id);
                        self.forget_upload(id).await;
                        Ok(Found::Removed)
                    }
                    Some(_) => Ok(Found::Keep),
                    None => {
                        let noted = serde_json::to_vec(&Gone { seen_ms: now_ms() }).expect("a number is JSON");
                        system.put(&mark, noted).await?;
                        Ok(Found::Keep)
                    }
                }
            }
        }
    }

    /// The upload of a copy that nobody brings to its end.
    async fn sweep_copy(&self, id: &str, ages: Ages) -> Result<Found, SystemError> {
        let Some(stored) = self.group.system().get(&name(id, "copy"), MAX_STATE).await? else {
            return Ok(Found::Over);
        };
        let Some(about) = about(id, &stored, Kind::Copy) else { return Ok(Found::Unreadable("copy")) };
        let Some(upstream) = self.upstreams.get(&about.backend) else { return Ok(Found::Keep) };
        if !is_older(about.begun_ms, ages.copy) || !self.abort(upstream, &about).await {
            return Ok(Found::Keep);
        }
        self.forget_upload(id).await;
        Ok(Found::Removed)
    }

    /// Aborts an upload at the storage. Says whether it surely does not know it any more.
    pub(in super::super) async fn abort(&self, upstream: &upstream::Upstream, about: &About) -> bool {
        let target = upstream::uri(&about.bucket, Some(&about.key), &[("uploadId", &about.upload)]);
        match self.send(upstream, upstream::request(Method::DELETE, target)).await {
            Ok(response) if response.status().is_success() => true,
            Ok(response) => {
                let unseen = response.status() == StatusCode::NOT_FOUND && is_no_upload(response.into_body()).await;
                unseen && about.is_seen_by(upstream)
            }
            Err(error) => {
                tracing::warn!(cause = error.cause().unwrap_or_default(), "upload that was given up cannot be aborted");
                false
            }
        }
    }

    /// Aborts an upload that its client has left. Where the storage does not know it any more, it may just be completed:
    /// then it goes the way of those.
    async fn abort_old(&self, id: &str, about: &About) -> Result<Found, SystemError> {
        let Some(upstream) = self.upstreams.get(&about.backend) else { return Ok(Found::Keep) };
        let target = upstream::uri(&about.bucket, Some(&about.key), &[("uploadId", &about.upload)]);
        match self.send(upstream, upstream::request(Method::DELETE, target)).await {
            Ok(response) if response.status().is_success() => {
                tracing::info!(state = id, "a multipart upload is aborted: it was begun too long ago");
                self.policies.upload_ended(id);
                self.forget_upload(id).await;
                Ok(Found::Removed)
            }
            _ => Ok(Found::Keep),
        }
    }

    /// Does the storage surely not know the upload? None: it cannot be told.
    async fn is_gone(&self, about: &About) -> Option<bool> {
        let upstream = self.upstreams.get(&about.backend)?;
        let query = [("uploadId", about.upload.as_str()), ("max-parts", "1")];
        let target = upstream::uri(&about.bucket, Some(&about.key), &query);
        let response = self.send(upstream, upstream::request(Method::GET, target)).await.ok()?;
        let status = response.status();
        if status.is_success() {
            return Some(false);
        }
        let unseen = status == StatusCode::NOT_FOUND && is_no_upload(response.into_body()).await;
        (unseen && about.is_seen_by(upstream)).then_some(true)
    }

    /// The states of one page after a state, each with the first words of the names that the page has of it; and whether
    /// there are more.
    async fn states(&self, after: Option<&str>) -> Result<(Vec<(String, BTreeSet<String>)>, bool), SystemError> {
        // '0' comes right after '/': behind everything of that state.
        let after = after.map(|id| format!("mp/{id}0"));
        let page = self.group.system().list("mp/", after.as_deref()).await?;
        let mut states: Vec<(String, BTreeSet<String>)> = Vec::new();
        for Entry { key, .. } in page.entries {
            let rest = key.strip_prefix("mp/").unwrap_or(&key);
            let (id, what) = rest.split_once('/').unwrap_or((rest, ""));
            if states.last().is_none_or(|(last, _)| last != id) {
                states.push((id.to_owned(), BTreeSet::new()));
            }
            if let Some((_, names)) = states.last_mut() {
                names.insert(what.split('/').next().unwrap_or_default().to_owned());
            }
        }
        Ok((states, page.more))
    }
}

/// Whether a refusal says that there is no such upload; a proxy's page says nothing.
async fn is_no_upload(body: upstream::Body) -> bool {
    let body = upstream::collect(body, MAX_ANSWER).await.ok().flatten().unwrap_or_default();
    // Ceph RGW 16 says NoSuchKey of an upload that it does not know.
    let known = ["NoSuchUpload", "NoSuchBucket", "NoSuchKey"];
    field(&body, b"Code").is_some_and(|code| known.contains(&code.as_str()))
}

fn is_older(at_ms: i64, age: Duration) -> bool {
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    now_ms().saturating_sub(at_ms) > age
}

//! What is known of sealed objects that were read: enough to fetch the right stored bytes with the first request.
//!
//! ```text
//! read ─▶ known(place, key, version)? ─ yes ─▶ range GET with If-Match ─▶ 206: opened │ anything else: forgotten, cold
//!                 │ no
//!                 └▶ cold: GET ─▶ header in the metadata │ footer by a suffix range ─▶ authenticated ─▶ remembered
//! ```
//! An entry is of one `ETag`, and so immutable. It holds no secret: the data key in it is wrapped, and is opened again by
//! each read. Only what was authenticated is remembered. Bounded by weight; the least recently used goes first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use envelope::{Footer, Metadata};
use http::HeaderValue;

use super::access::Place;

/// The weight of all entries, in bytes.
const BUDGET: usize = 16 << 20;
/// The weight of an entry without its parts: place, metadata, and the header of each, coded and decoded.
const ENTRY: usize = 6 << 10;
/// The weight of one part: its row of the table, coded and decoded, and its checksum.
const PART: usize = 160;

/// Which object: backend, bucket there, the version that was asked for (empty: the latest), each behind its length, and key.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Name(Arc<str>);

impl Name {
    fn new(place: &Place, key: &str, version: Option<&str>) -> Self {
        let (backend, bucket, version) = (place.upstream.name(), &place.bucket, version.unwrap_or_default());
        let lens = (backend.len(), bucket.len(), version.len());
        Self(format!("{}:{backend}{}:{bucket}{}:{version}{key}", lens.0, lens.1, lens.2).into())
    }
}

/// A sealed object as it was last seen.
pub(super) struct Known {
    /// As the storage says it.
    pub(super) etag: HeaderValue,
    /// Bytes of the whole stored object.
    pub(super) stored_len: u64,
    /// What its metadata says; none where it was stripped.
    pub(super) metadata: Option<Metadata>,
    /// Its footer, where that was read.
    pub(super) footer: Option<Footer>,
}

impl Known {
    fn weight(&self) -> usize {
        ENTRY + self.footer.as_ref().map_or(0, |footer| footer.part_count() * PART)
    }
}

/// See the module.
#[derive(Default)]
pub struct Footers(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    by_name: HashMap<Name, (Arc<Known>, u64)>,
    by_use: BTreeMap<u64, Name>,
    uses: u64,
    weight: usize,
}

impl Footers {
    /// What is known of an object.
    pub(super) fn get(&self, place: &Place, key: &str, version: Option<&str>) -> Option<Arc<Known>> {
        let name = Name::new(place, key, version);
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, used) = entries.by_name.get(&name).map(|(known, used)| (Arc::clone(known), *used))?;
        entries.touch(&name, used);
        Some(known)
    }

    /// Remembers what was authenticated. A footer of the same object that is known stays known.
    pub(super) fn remember(&self, place: &Place, key: &str, version: Option<&str>, mut known: Known) {
        let name = Name::new(place, key, version);
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, used)) = entries.by_name.get(&name) {
            let same = before.etag == known.etag && before.stored_len == known.stored_len;
            if same && (known.footer.is_none() || before.footer.is_some()) && before.metadata == known.metadata {
                let used = *used;
                entries.touch(&name, used);
                return;
            }
            if same && known.footer.is_none() {
                known.footer.clone_from(&before.footer);
            }
        }
        entries.remove(&name);
        entries.insert(name, Arc::new(known));
    }

    /// The object is another one, or gone.
    pub(super) fn forget(&self, place: &Place, key: &str, version: Option<&str>) {
        let name = Name::new(place, key, version);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
    }
}

impl Entries {
    fn touch(&mut self, name: &Name, used: u64) {
        self.uses += 1;
        let now = self.uses;
        if let Some(name) = self.by_use.remove(&used) {
            self.by_use.insert(now, name);
        }
        if let Some(entry) = self.by_name.get_mut(name) {
            entry.1 = now;
        }
    }

    fn insert(&mut self, name: Name, known: Arc<Known>) {
        let weight = known.weight();
        if weight > BUDGET {
            return;
        }
        while self.weight + weight > BUDGET
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.remove(&oldest);
        }
        self.uses += 1;
        self.weight += weight;
        self.by_use.insert(self.uses, name.clone());
        self.by_name.insert(name, (known, self.uses));
    }

    fn remove(&mut self, name: &Name) {
        if let Some((known, used)) = self.by_name.remove(name) {
            self.weight -= known.weight();
            self.by_use.remove(&used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(etag: &'static str) -> Known {
        Known { etag: HeaderValue::from_static(etag), stored_len: 1, metadata: None, footer: None }
    }

    #[test]
    fn the_weight_is_bounded_and_the_least_recently_used_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let upstream = crate::upstream::Upstream::directory("disk", dir.path()).unwrap();
        let place = Place { upstream, bucket: "b".to_owned() };
        let footers = Footers::default();
        let most = BUDGET / ENTRY;
        for index in 0..most {
            footers.remember(&place, &index.to_string(), None, known("\"a\""));
        }
        assert!(footers.get(&place, "0", None).is_some(), "used again, it is the newest");
        for index in most..most + 10 {
            footers.remember(&place, &index.to_string(), None, known("\"a\""));
        }
        let entries = footers.0.lock().unwrap();
        assert_eq!((entries.by_name.len(), entries.by_use.len(), entries.weight), (most, most, most * ENTRY));
        drop(entries);
        assert!(footers.get(&place, "0", None).is_some());
        assert!((1..=10).all(|index| footers.get(&place, &index.to_string(), None).is_none()));
        assert!(footers.get(&place, "11", None).is_some());
    }

    #[test]
    fn versions_are_apart_and_what_is_forgotten_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let upstream = crate::upstream::Upstream::directory("disk", dir.path()).unwrap();
        let place = Place { upstream, bucket: "b".to_owned() };
        let footers = Footers::default();
        footers.remember(&place, "k", None, known("\"a\""));
        footers.remember(&place, "k", Some("1"), known("\"b\""));
        footers.remember(&place, "k", None, known("\"c\""));
        assert_eq!(footers.get(&place, "k", None).unwrap().etag, "\"c\"");
        assert_eq!(footers.get(&place, "k", Some("1")).unwrap().etag, "\"b\"");
        footers.forget(&place, "k", None);
        assert!(footers.get(&place, "k", None).is_none() && footers.get(&place, "k", Some("1")).is_some());
        assert_eq!(footers.0.lock().unwrap().weight, ENTRY);
    }
}

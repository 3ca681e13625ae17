//! The keys of a bucket in the byte order of their UTF-8, read folder by folder.
//!
//! A step of the walk reads one folder whole, keeps the smallest [`KEPT`] names that can still matter, and goes down
//! only where it must: it starts at the folder of the prefix, and a common prefix is stepped over without a look
//! inside. Cost of a page: the entries of the folders on the path of its first key and of those that it passes,
//! each read once, in memory proportional to the depth and not to the bucket. So a flat bucket of n keys costs one
//! reading of n names a page.
//!
//! Why the order of folders is the order of keys: at one level stand objects (their key is the name), levels
//! (their keys begin with the name and `/`) and continued components (their keys begin with the name, which has
//! exactly [`layout::STEP`] bytes, and another byte than `/`). Names of a level differ within their first bytes, or
//! one is the beginning of the other and shorter, so comparing `name`, `name/` and `name` + next byte compares the
//! keys. Only a level and a continued component of the *same* name overlap: the latter is then walked twice, first
//! for what is before `/`, then for what is behind it.

use std::collections::BinaryHeap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use layout::{Entry, decode_entry};
use rustix::fs::{CWD, Mode, OFlags, RawDir, openat};
use rustix::io::Errno;

/// Names of one folder that are kept in memory; when they are used up, the folder is read again for the next ones.
const KEPT: usize = 2048;

/// Bytes of entries that the kernel gives at once.
const READ: usize = 64 << 10;

/// A key, and the directory of its object.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) key: String,
    pub(crate) place: PathBuf,
}

/// A walk over keys, begun but not ended.
#[derive(Debug)]
pub(crate) struct Walk {
    prefix: Vec<u8>,
    /// No key smaller than this comes any more.
    from: Vec<u8>,
    folders: Vec<Folder>,
}

/// One folder on the path of the walk.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// What every key inside begins with.
    base: Vec<u8>,
    /// Of a continued component: on which side of `/` its next byte must be.
    side: Side,
    /// What is still to be visited, the next at the end; `None` before the folder is read.
    items: Option<Vec<Item>>,
    /// The last item that was kept of more than [`KEPT`].
    cut: Option<Item>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Both,
    Before,
    Behind,
}

/// What is to be visited in a folder; sorts as its keys do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    /// The name's bytes, and the smallest byte that can follow.
    order: Vec<u8>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Object,
    Before,
    Level,
    Behind,
}

impl Item {
    fn new(name: &[u8], kind: Kind) -> Self {
        let mut item = Self { order: Vec::new(), kind };
        item.set(name, kind);
        item
    }

    fn set(&mut self, name: &[u8], kind: Kind) {
        self.kind = kind;
        self.order.clear();
        self.order.extend_from_slice(name);
        match kind {
            Kind::Object => {}
            Kind::Before => self.order.push(0),
            Kind::Level => self.order.push(b'/'),
            Kind::Behind => self.order.push(b'/' + 1),
        }
    }

    fn name(&self) -> &[u8] {
        match self.kind {
            Kind::Object => &self.order,
            _ => &self.order[..self.order.len() - 1],
        }
    }
}

impl Walk {
    /// The keys that begin with `prefix` and are not smaller than `from`.
    pub(crate) fn new(objects: &Path, prefix: &str, from: Vec<u8>) -> Self {
        let (path, base, _) = layout::level_of(objects, prefix.as_bytes());
        let start = Folder { path, base: base.to_vec(), side: Side::Both, items: None, cut: None };
        Self { prefix: prefix.as_bytes().to_vec(), from, folders: vec![start] }
    }

    /// Steps over every key that is smaller.
    pub(crate) fn skip_to(&mut self, from: Vec<u8>) {
        if from > self.from {
            self.from = from;
        }
    }

    /// The next key.
    pub(crate) fn next(&mut self) -> io::Result<Option<Found>> {
        while let Some(folder) = self.folders.last_mut() {
            if folder.items.is_none() {
                folder.read(&self.prefix, &self.from)?;
            }
            let items = folder.items.as_mut().expect("read above");
            let Some(item) = items.pop() else {
                if folder.cut.is_some() {
                    folder.items = None;
                } else {
                    self.folders.pop();
                }
                continue;
            };
            let mut key = folder.base.clone();
            key.extend_from_slice(item.name());
            if item.kind == Kind::Level {
                key.push(b'/');
            }
            if !relevant(item.kind, &key, &self.prefix, &self.from) {
                continue;
            }
            if item.kind != Kind::Object {
                let (path, side) = match item.kind {
                    Kind::Before => (folder.path.join(layout::continued_name(item.name())), Side::Before),
                    Kind::Behind => (folder.path.join(layout::continued_name(item.name())), Side::Behind),
                    Kind::Level | Kind::Object => (folder.path.join(layout::level_name(item.name())), Side::Both),
                };
                self.folders.push(Folder { path, base: key, side, items: None, cut: None });
                continue;
            }
            let place = folder.path.join(layout::object_name(item.name()));
            // Never asked for again, also when the folder is read again.
            self.from.clone_from(&key);
            self.from.push(0);
            if let Ok(key) = String::from_utf8(key) {
                return Ok(Some(Found { key, place }));
            }
            // Not written by this storage, whose paths all are those of keys.
            tracing::warn!(place = %place.display(), "a folder that is no key is passed over");
        }
        Ok(None)
    }
}

impl Folder {
    fn read(&mut self, prefix: &[u8], from: &[u8]) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat(CWD, &self.path, flags, Mode::empty()).and_then(|folder| self.take(folder, prefix, from)) {
            // Removed since, before it was opened or while it was read, or never there.
            Err(Errno::NOENT) => {
                self.items = Some(Vec::new());
                Ok(())
            }
            outcome => outcome.map_err(io::Error::from),
        }
    }

    fn take(&mut self, folder: OwnedFd, prefix: &[u8], from: &[u8]) -> Result<(), Errno> {
        let after = self.cut.take();
        let mut kept = Smallest::default();
        let mut buffer = Vec::with_capacity(READ);
        let mut entries = RawDir::new(folder, buffer.spare_capacity_mut());
        // These hold one entry after the other: of a large folder most entries are only looked at.
        let (mut step, mut key, mut item) = (Vec::new(), self.base.clone(), Item::new(&[], Kind::Object));
        while let Some(entry) = entries.next() {
            let Some(entry) = decode_entry(entry?.file_name().to_bytes(), &mut step) else { continue };
            let fits = match self.side {
                Side::Both => true,
                Side::Before => step.first().is_some_and(|&byte| byte < b'/'),
                Side::Behind => step.first().is_some_and(|&byte| byte > b'/'),
            };
            if !fits {
                continue;
            }
            key.truncate(self.base.len());
            key.extend_from_slice(&step);
            let kinds: &[Kind] = match entry {
                Entry::Object => &[Kind::Object],
                Entry::Level => {
                    key.push(b'/');
                    &[Kind::Level]
                }
                Entry::Continued => &[Kind::Before, Kind::Behind],
            };
            for &kind in kinds {
                item.set(&step, kind);
                if relevant(kind, &key, prefix, from) && after.as_ref().is_none_or(|after| item > *after) {
                    kept.offer(&item);
                }
            }
        }
        let (mut items, more) = (kept.heap.into_sorted_vec(), kept.more);
        self.cut = if more { items.last().cloned() } else { None };
        items.reverse();
        self.items = Some(items);
        Ok(())
    }
}

/// The [`KEPT`] smallest of the items that were offered.
#[derive(Default)]
struct Smallest {
    heap: BinaryHeap<Item>,
    /// Whether there were more.
    more: bool,
}

impl Smallest {
    fn offer(&mut self, item: &Item) {
        if self.heap.len() < KEPT {
            self.heap.push(item.clone());
            return;
        }
        self.more = true;
        if let Some(mut largest) = self.heap.peek_mut()
            && item < &*largest
        {
            largest.order.clone_from(&item.order);
            largest.kind = item.kind;
        }
    }
}

/// Whether a key that is `key`, or for other items begins with it, can have the prefix and be no smaller than `from`.
fn relevant(kind: Kind, key: &[u8], prefix: &[u8], from: &[u8]) -> bool {
    match kind {
        Kind::Object => key >= from && key.starts_with(prefix),
        _ => (key >= from || from.starts_with(key)) && (key.starts_with(prefix) || prefix.starts_with(key)),
    }
}

/// The smallest key that is larger than every key that begins with `prefix`; `None` if there is none.
pub(crate) fn past(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = prefix.to_vec();
    while let Some(last) = bytes.pop() {
        if last < u8::MAX {
            bytes.push(last + 1);
            return Some(bytes);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    /// All keys of a walk, stepping over everything that begins as `skip` says as soon as one such key comes.
    fn walk(objects: &std::path::Path, prefix: &str, from: &[u8]) -> Vec<String> {
        let mut walk = Walk::new(objects, prefix, from.to_vec());
        let mut keys = Vec::new();
        while let Some(found) = walk.next().unwrap() {
            assert_eq!(found.place, layout::object_dir(objects, &found.key));
            keys.push(found.key);
        }
        keys
    }

    fn key() -> impl Strategy<Value = String> {
        // Around the byte `/` and around the length at which a component is cut.
        prop_oneof![
            "[a./0-]{1,6}",
            ("[ab]{0,1}", 78usize..82, "[-./0a]{0,4}").prop_map(|(a, n, b)| format!("{a}{}{b}", "x".repeat(n))),
            (158usize..162, "[-/0]{0,3}").prop_map(|(n, b)| format!("{}{b}", "x".repeat(n))),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
        #[test]
        fn keys_come_in_byte_order_from_any_start_with_any_prefix(
            keys in prop::collection::btree_set(key(), 0..40),
            starts in prop::collection::vec((key(), 0usize..90), 4),
        ) {
            let root = tempfile::tempdir().unwrap();
            for key in &keys {
                fs::create_dir_all(layout::object_dir(root.path(), key)).unwrap();
            }
            prop_assert_eq!(walk(root.path(), "", b""), keys.iter().cloned().collect::<Vec<_>>());
            for (from, cut) in &starts {
                let prefix = &from[..(*cut).min(from.len())];
                let expected = |set: &BTreeSet<String>, from: &str, prefix: &str| -> Vec<String> {
                    set.iter().filter(|key| key.as_str() >= from && key.starts_with(prefix)).cloned().collect()
                };
                prop_assert_eq!(walk(root.path(), "", from.as_bytes()), expected(&keys, from, ""));
                prop_assert_eq!(walk(root.path(), prefix, b""), expected(&keys, "", prefix));
                prop_assert_eq!(walk(root.path(), prefix, from.as_bytes()), expected(&keys, from, prefix));
            }
        }
    }

    #[test]
    fn a_folder_with_more_names_than_are_kept_is_walked_to_its_end() {
        let root = tempfile::tempdir().unwrap();
        let keys: BTreeSet<String> = (0..2 * KEPT + 100).map(|number| format!("{number:x}")).collect();
        for key in &keys {
            fs::create_dir(layout::object_dir(root.path(), key)).unwrap();
        }
        assert_eq!(walk(root.path(), "", b""), keys.iter().cloned().collect::<Vec<_>>());
    }

    /// Linux answers `ENOENT` when a folder is read that was removed after it was opened.
    #[test]
    fn a_folder_that_is_removed_while_it_is_read_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("level");
        fs::create_dir(&path).unwrap();
        let opened = OwnedFd::from(fs::File::open(&path).unwrap());
        fs::remove_dir(&path).unwrap();
        let mut folder = Folder { path, base: Vec::new(), side: Side::Both, items: None, cut: None };
        assert_eq!(folder.take(opened, b"", b""), Err(Errno::NOENT));
        folder.read(b"", b"").unwrap();
        assert_eq!(folder.items, Some(Vec::new()));
    }

    #[test]
    fn what_is_past_a_prefix_is_larger_than_all_that_begins_with_it() {
        assert_eq!(past(b"a/"), Some(b"a0".to_vec()));
        assert_eq!(past(b"a\xff"), Some(b"b".to_vec()));
        assert_eq!(past(b"\xff"), None);
        assert_eq!(past(b""), None);
    }
}

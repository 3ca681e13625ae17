//! Why a test may come out otherwise through the gateway.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Way;
use super::document::Storage;

/// One reason, for the tests that it explains.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    /// What it is about, for people.
    title: String,
    /// Why it is so, and what a client sees.
    text: String,
    /// Names of tests, in which `*` stands for any run of characters.
    tests: Vec<String>,
    /// `ceph`, `directory`.
    storages: Vec<String>,
    /// `plain`, `encrypting`.
    ways: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    reason: Vec<Reason>,
}

/// All reasons, and which patterns were needed.
pub(crate) struct Reasons {
    all: Vec<Reason>,
    needed: BTreeSet<(usize, usize)>,
}

impl Reasons {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let file: File = toml::from_str(&text).with_context(|| path.display().to_string())?;
        Ok(Self { all: file.reason, needed: BTreeSet::new() })
    }

    /// Why this test fails there: title and text.
    pub(crate) fn why(&mut self, test: &str, storage: Storage, way: Way) -> Option<(String, String)> {
        let name = test.rsplit("::").next().unwrap_or_default();
        let says = |words: &[String], word: &str| words.iter().any(|one| one == word);
        for (at, reason) in self.all.iter().enumerate() {
            if !says(&reason.storages, storage.name()) || !says(&reason.ways, way.name()) {
                continue;
            }
            if let Some(pattern) = reason.tests.iter().position(|pattern| fits(pattern, name)) {
                self.needed.insert((at, pattern));
                return Some((reason.title.clone(), reason.text.clone()));
            }
        }
        None
    }

    /// Patterns that explained nothing: what they were for is mended.
    pub(crate) fn idle(&self) -> Vec<String> {
        let patterns = self.all.iter().enumerate().flat_map(|(at, reason)| {
            reason.tests.iter().enumerate().map(move |(number, pattern)| ((at, number), pattern))
        });
        patterns.filter(|(place, _)| !self.needed.contains(place)).map(|(_, pattern)| pattern.clone()).collect()
    }
}

/// Does the whole name match, `*` standing for any run of characters?
fn fits(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, between)) = pieces.split_last() else { return rest.is_empty() };
    for piece in between {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

//! What is known of one key: its current object and, in a bucket with versions, older ones.

use minicbor::{Decoder, Encoder};

use super::{Found, Known};

/// Versions of one key that are kept in a bucket with versions: a page of them.
pub(super) const VERSIONS: usize = 1_000;
/// Kept of a key that is overwritten in a bucket without versions: for lists that were under way meanwhile.
pub(super) const OVERWRITTEN: usize = 8;

/// How an object stands to the others of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is the only one: its bucket keeps no versions.
    Only,
    /// The latest of several versions.
    Latest,
    /// An older version.
    Noncurrent,
}

/// One change of a row.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Nothing is known any more.
    Clear,
    /// None of the versions is current.
    Hide,
    /// An object, by its `ETag`.
    Add(Box<str>, Known, Standing),
}

/// Versions of a key by their `ETags`.
#[derive(Debug, Default)]
pub(super) struct Row {
    versions: Vec<(Box<str>, Known)>,
    /// The last of them is what a read without a version gives.
    current: bool,
}

/// What a look at the steps that are not in the database yet says of an object.
pub(super) enum Looked {
    Found(Found),
    /// Forgotten since: the database must not be asked.
    Nothing,
    /// Nothing is said. `displaced`: what the database has is not current any more.
    AskDatabase {
        displaced: bool,
    },
}

impl Looked {
    pub(super) fn found(self) -> Option<Found> {
        match self {
            Self::Found(found) => Some(found),
            Self::Nothing | Self::AskDatabase { .. } => None,
        }
    }
}

/// Looks for an object in steps that are given in reverse.
pub(super) fn find<'a>(steps: impl Iterator<Item = &'a Step>, etag: &str) -> Looked {
    let mut displaced = false;
    for step in steps {
        match step {
            Step::Clear => return Looked::Nothing,
            Step::Hide => displaced = true,
            Step::Add(found, known, standing) => {
                let current = *standing != Standing::Noncurrent;
                if **found == *etag {
                    return Looked::Found(Found { known: known.clone(), current: current && !displaced });
                }
                displaced |= current;
            }
        }
    }
    Looked::AskDatabase { displaced }
}

impl Row {
    pub(super) fn is_empty(&self) -> bool {
        self.versions.is_empty()
    }

    /// What a read without a version gives, where that is known.
    pub(super) fn current(&self) -> Option<&Known> {
        self.versions.last().filter(|_| self.current).map(|(_, known)| known)
    }

    /// An object, and whether it is the current one.
    pub(super) fn find(&self, etag: &str) -> Option<(&Known, bool)> {
        let index = self.versions.iter().position(|(found, _)| **found == *etag)?;
        Some((&self.versions[index].1, self.current && index + 1 == self.versions.len()))
    }

    pub(super) fn apply(&mut self, step: &Step) {
        let (etag, known, standing) = match step {
            Step::Clear => {
                *self = Self::default();
                return;
            }
            Step::Hide => {
                self.current = false;
                return;
            }
            Step::Add(etag, known, standing) => (etag, known, *standing),
        };
        if let Some(index) = self.versions.iter().position(|(found, _)| found == etag) {
            self.current &= index + 1 != self.versions.len();
            self.versions.remove(index);
        }
        let older = standing == Standing::Noncurrent;
        // In front of the current one, which stays the last.
        let at = self.versions.len() - usize::from(older && self.current);
        self.versions.insert(at, (etag.clone(), known.clone()));
        self.current |= !older;
        let most = if standing == Standing::Only { OVERWRITTEN } else { VERSIONS };
        let surplus = self.versions.len().saturating_sub(most);
        self.versions.drain(..surplus);
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut e = Encoder::new(&mut bytes);
        let mut write = || -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
            e.bool(self.current)?.array(self.versions.len() as u64)?;
            for (etag, known) in &self.versions {
                let kms = known.kms.as_ref().map_or("", |id| id.as_str());
                e.array(4)?.str(etag)?.bool(known.encrypted)?.u64(known.size)?.str(kms)?;
            }
            Ok(())
        };
        write().expect("a vector takes every byte");
        bytes
    }

    /// What cannot be read is not known.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        let mut d = Decoder::new(bytes);
        let mut read = || -> Result<Self, minicbor::decode::Error> {
            let current = d.bool()?;
            let count = d.array()?.unwrap_or(0).min(VERSIONS as u64);
            let mut versions = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
            for _ in 0..count {
                d.array()?;
                let (etag, encrypted, size, kms) = (d.str()?, d.bool()?, d.u64()?, d.str()?);
                let kms = if kms.is_empty() {
                    None
                } else {
                    Some(kms.parse().map_err(|_| minicbor::decode::Error::message("no KMS ID"))?)
                };
                versions.push((etag.into(), Known { encrypted, size, kms }));
            }
            Ok(Self { versions, current })
        };
        read().unwrap_or_default()
    }
}

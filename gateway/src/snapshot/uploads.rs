//! Open multipart uploads, by the revision that they were decided under.

use std::collections::HashMap;
use std::time::SystemTime;

use ids::Revision;

/// One open upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The upload ID.
    pub id: String,
    /// The revision that it was decided under; none: before any set was received.
    pub revision: Option<Revision>,
    /// When it was begun.
    pub begun_at: SystemTime,
}

/// How many uploads finish under an older decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenUploads {
    /// How many.
    pub count: u64,
    /// When the oldest of them was begun.
    pub oldest: Option<SystemTime>,
}

impl From<OpenUploads> for proto::watch::OpenUploads {
    fn from(open: OpenUploads) -> Self {
        Self { count: open.count, oldest_ms: open.oldest.map(crate::state::unix_ms) }
    }
}

/// In memory only: the system bucket is what is kept.
#[derive(Default)]
pub(super) struct Uploads(HashMap<String, Upload>);

impl Uploads {
    pub(super) fn begun(&mut self, upload: Upload) {
        self.0.insert(upload.id.clone(), upload);
    }

    pub(super) fn ended(&mut self, id: &str) {
        self.0.remove(id);
    }

    pub(super) fn replace(&mut self, found: impl IntoIterator<Item = Upload>) {
        self.0 = found.into_iter().map(|upload| (upload.id.clone(), upload)).collect();
    }

    pub(super) fn older_than(&self, current: Option<Revision>) -> OpenUploads {
        let mut open = OpenUploads::default();
        for upload in self.0.values().filter(|upload| upload.revision != current) {
            open.count += 1;
            open.oldest = Some(open.oldest.map_or(upload.begun_at, |oldest| oldest.min(upload.begun_at)));
        }
        open
    }
}

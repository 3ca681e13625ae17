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
pub(super) struct Uploads {
    open: HashMap<String, Upload>,
    /// While the system bucket is looked through: what was begun (true) and ended (false) here meanwhile.
    meanwhile: Option<HashMap<String, bool>>,
    /// The system bucket was looked through.
    complete: bool,
}

impl Uploads {
    pub(super) fn begun(&mut self, upload: Upload) {
        if let Some(meanwhile) = &mut self.meanwhile {
            meanwhile.insert(upload.id.clone(), true);
        }
        self.open.insert(upload.id.clone(), upload);
    }

    pub(super) fn ended(&mut self, id: &str) {
        if let Some(meanwhile) = &mut self.meanwhile {
            meanwhile.insert(id.to_owned(), false);
        }
        self.open.remove(id);
    }

    pub(super) fn look(&mut self) {
        self.meanwhile = Some(HashMap::new());
    }

    pub(super) fn known(&self, id: &str) -> Option<Upload> {
        self.open.get(id).cloned()
    }

    /// Takes what a look found, and what happened here since it began.
    pub(super) fn replace(&mut self, found: impl IntoIterator<Item = Upload>) {
        let meanwhile = self.meanwhile.take().unwrap_or_default();
        let mut open: HashMap<String, Upload> = found
            .into_iter()
            .filter(|upload| !meanwhile.contains_key(&upload.id))
            .map(|upload| (upload.id.clone(), upload))
            .collect();
        for id in meanwhile.into_iter().filter_map(|(id, begun)| begun.then_some(id)) {
            open.extend(self.open.remove(&id).map(|upload| (id, upload)));
        }
        self.open = open;
        self.complete = true;
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) fn older_than(&self, current: Option<Revision>) -> OpenUploads {
        let mut open = OpenUploads::default();
        for upload in self.open.values().filter(|upload| upload.revision != current) {
            open.count += 1;
            open.oldest = Some(open.oldest.map_or(upload.begun_at, |oldest| oldest.min(upload.begun_at)));
        }
        open
    }
}

//! The stream on which a gateway holds the fleet's policy set.
//!
//! ```text
//! gateway                              Central
//!   Hello {epochs, held} ──────────────▶
//!          ◀────────────────────────────  Assignment {name, labels}, Directives
//!          ◀────────────────────────────  Current            (held is the head: no document)
//!          ◀────────────────────────────  Bundle             (latest only, never a queue)
//!   Ack received, applied, effective ──▶                     or Refusal {code, item, reason}
//!   Heartbeat ─────────────────────────▶
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use ids::{Epoch, Revision, StorageId};

use crate::error::{self, ProtocolError};
use crate::{limits, wire};

/// A revision as somebody holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Held {
    /// Lineage and number.
    pub revision: Revision,
    /// SHA-256 of the document bytes.
    pub digest: [u8; 32],
}

/// What a gateway says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchUp {
    /// First on every stream, and only first.
    Hello(Hello),
    /// Progress with a bundle.
    Ack(Ack),
    /// A bundle that it cannot apply.
    Refusal(Refusal),
    /// It lives.
    Heartbeat(Heartbeat),
    /// A word of a later version; to be passed over.
    Unknown,
}

/// Who speaks, in which life, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// This life.
    pub epoch: Epoch,
    /// The life before; none at the first after enrolment.
    pub predecessor: Option<Epoch>,
    /// Version of the gateway.
    pub version: String,
    /// Words of the protocol that it understands beyond version 1.
    pub capabilities: Vec<String>,
    /// What it holds; none before the first set.
    pub held: Option<Held>,
    /// Its clock, Unix milliseconds.
    pub clock_ms: i64,
    /// The storage behind its group; none while that is not known.
    pub storage_id: Option<StorageId>,
}

/// How far a bundle has come at a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Progress {
    /// The bytes arrived and the digest agrees.
    Received,
    /// Compiled, persisted, and new requests are decided by it.
    Applied,
    /// Every single-request write decided under an older revision has ended.
    Effective,
}

/// Progress with one bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// Which one.
    pub held: Held,
    /// How far.
    pub progress: Progress,
    /// Uploads begun under an older revision.
    pub uploads: OpenUploads,
}

/// Multipart uploads that were begun under an older revision and are still open; they finish as decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenUploads {
    /// How many.
    pub count: u64,
    /// When the oldest was begun, Unix milliseconds; none where there is none.
    pub oldest_ms: Option<i64>,
}

/// The gateway cannot apply a bundle and keeps what it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The bundle that was refused.
    pub refused: Held,
    /// What is kept; none where there was none.
    pub kept: Option<Held>,
    /// Closed list: `policy::RefusalCode`, `lower-revision`, `revision-conflict`, `storage`.
    pub code: String,
    /// Which item of the set; empty for the whole.
    pub item: String,
    /// For a person.
    pub reason: String,
}

/// It lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// The gateway's clock, Unix milliseconds.
    pub clock_ms: i64,
    /// Uploads begun under an older revision.
    pub uploads: OpenUploads,
}

/// What Central says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchDown {
    /// A policy set.
    Bundle(PolicyBundle),
    /// What the hello named is the head.
    Current(Held),
    /// How to behave on the line.
    Directives(Directives),
    /// Name and labels of this gateway.
    Assignment(Assignment),
    /// A word of a later version; to be passed over.
    Unknown,
}

/// A policy set in its encoded form. The receiver checks the digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyBundle {
    /// Announced revision and digest.
    pub held: Held,
    /// Encoding of the document; 1 is `policy::PolicySet`.
    pub format: u32,
    /// The encoded set.
    pub document: Bytes,
}

/// How to behave on the line; an absent wish leaves what was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Directives {
    /// Milliseconds between two reports.
    pub report_interval_ms: Option<u64>,
    /// Milliseconds to wait before reconnecting; the stream is about to be closed.
    pub reconnect_after_ms: Option<u64>,
    /// Milliseconds between two heartbeats.
    pub heartbeat_interval_ms: Option<u64>,
    /// Drop every cached key now.
    pub flush_keys: bool,
    /// Send the next report with every counter.
    pub full_report: bool,
}

/// What Central calls this gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignment {
    /// Its name in the fleet.
    pub name: String,
    /// Its labels; policies select by them.
    pub labels: BTreeMap<String, String>,
}

impl TryFrom<wire::Held> for Held {
    type Error = ProtocolError;
    fn try_from(sent: wire::Held) -> Result<Self, ProtocolError> {
        let digest = <[u8; 32]>::try_from(sent.digest.as_ref())
            .map_err(|_| ProtocolError::new("Held.digest", "it must have 32 bytes"))?;
        let revision = Revision {
            lineage: error::parsed("Held.lineage", &sent.lineage)?,
            number: error::count("Held.number", sent.number)?,
        };
        Ok(Self { revision, digest })
    }
}

impl From<Held> for wire::Held {
    fn from(held: Held) -> Self {
        Self {
            lineage: held.revision.lineage.to_string(),
            number: held.revision.number,
            digest: Bytes::copy_from_slice(&held.digest),
        }
    }
}

fn held(field: &'static str, sent: Option<wire::Held>) -> Result<Held, ProtocolError> {
    sent.ok_or_else(|| ProtocolError::new(field, "it is missing"))?.try_into()
}

fn uploads(field: &'static str, count: u64, oldest_ms: i64) -> Result<OpenUploads, ProtocolError> {
    let oldest_ms = error::time_ms(field, oldest_ms)?;
    Ok(OpenUploads { count: error::count(field, count)?, oldest_ms: (count > 0 && oldest_ms > 0).then_some(oldest_ms) })
}

impl TryFrom<wire::WatchUp> for WatchUp {
    type Error = ProtocolError;
    fn try_from(sent: wire::WatchUp) -> Result<Self, ProtocolError> {
        use wire::watch_up::Message;
        Ok(match sent.message {
            Some(Message::Hello(sent)) => Self::Hello(sent.try_into()?),
            Some(Message::Ack(sent)) => match sent.try_into()? {
                Some(ack) => Self::Ack(ack),
                None => Self::Unknown,
            },
            Some(Message::Refusal(sent)) => Self::Refusal(sent.try_into()?),
            Some(Message::Heartbeat(sent)) => Self::Heartbeat(sent.try_into()?),
            None => Self::Unknown,
        })
    }
}

impl From<WatchUp> for wire::WatchUp {
    fn from(said: WatchUp) -> Self {
        use wire::watch_up::Message;
        let message = match said {
            WatchUp::Hello(hello) => Some(Message::Hello(hello.into())),
            WatchUp::Ack(ack) => Some(Message::Ack(ack.into())),
            WatchUp::Refusal(refusal) => Some(Message::Refusal(refusal.into())),
            WatchUp::Heartbeat(heartbeat) => Some(Message::Heartbeat(heartbeat.into())),
            WatchUp::Unknown => None,
        };
        Self { message }
    }
}

impl TryFrom<wire::Hello> for Hello {
    type Error = ProtocolError;
    fn try_from(sent: wire::Hello) -> Result<Self, ProtocolError> {
        error::at_most("Hello.capabilities", &sent.capabilities, limits::WORDS)?;
        let predecessor = if sent.predecessor_epoch.is_empty() {
            None
        } else {
            Some(error::parsed("Hello.predecessor_epoch", &sent.predecessor_epoch)?)
        };
        let storage_id =
            if sent.storage_id.is_empty() { None } else { Some(error::parsed("Hello.storage_id", &sent.storage_id)?) };
        Ok(Self {
            epoch: error::parsed("Hello.epoch", &sent.epoch)?,
            predecessor,
            version: error::text("Hello.version", sent.version, limits::WORD_BYTES)?,
            capabilities: sent
                .capabilities
                .into_iter()
                .map(|word| error::name("Hello.capabilities", word, limits::WORD_BYTES))
                .collect::<Result<_, _>>()?,
            held: sent.held.map(Held::try_from).transpose()?,
            clock_ms: error::time_ms("Hello.clock_ms", sent.clock_ms)?,
            storage_id,
        })
    }
}

impl From<Hello> for wire::Hello {
    fn from(hello: Hello) -> Self {
        Self {
            epoch: hello.epoch.to_string(),
            predecessor_epoch: hello.predecessor.map(|epoch| epoch.to_string()).unwrap_or_default(),
            version: error::cut(&hello.version, limits::WORD_BYTES),
            capabilities: hello.capabilities,
            held: hello.held.map(Into::into),
            clock_ms: hello.clock_ms,
            storage_id: hello.storage_id.map(|id| id.to_string()).unwrap_or_default(),
        }
    }
}

/// An ack of a progress that this version does not know is `None`: it must not count as any that it knows.
impl TryFrom<wire::Ack> for Option<Ack> {
    type Error = ProtocolError;
    fn try_from(sent: wire::Ack) -> Result<Self, ProtocolError> {
        let progress = match sent.progress() {
            wire::Progress::Received => Progress::Received,
            wire::Progress::Applied => Progress::Applied,
            wire::Progress::Effective => Progress::Effective,
            wire::Progress::Unspecified => return Ok(None),
        };
        Ok(Some(Ack {
            held: held("Ack.held", sent.held)?,
            progress,
            uploads: uploads("Ack.oldest_upload_ms", sent.uploads_open, sent.oldest_upload_ms)?,
        }))
    }
}

impl From<Ack> for wire::Ack {
    fn from(ack: Ack) -> Self {
        let progress = match ack.progress {
            Progress::Received => wire::Progress::Received,
            Progress::Applied => wire::Progress::Applied,
            Progress::Effective => wire::Progress::Effective,
        };
        Self {
            held: Some(ack.held.into()),
            progress: progress.into(),
            uploads_open: ack.uploads.count,
            oldest_upload_ms: ack.uploads.oldest_ms.unwrap_or(0),
        }
    }
}

impl TryFrom<wire::Refusal> for Refusal {
    type Error = ProtocolError;
    fn try_from(sent: wire::Refusal) -> Result<Self, ProtocolError> {
        Ok(Self {
            refused: held("Refusal.refused", sent.refused)?,
            kept: sent.kept.map(Held::try_from).transpose()?,
            code: error::name("Refusal.code", sent.code, limits::WORD_BYTES)?,
            item: error::text("Refusal.item", sent.item, limits::NAME_BYTES)?,
            reason: error::prose("Refusal.reason", sent.reason, limits::REASON_BYTES)?,
        })
    }
}

impl From<Refusal> for wire::Refusal {
    fn from(refusal: Refusal) -> Self {
        Self {
            refused: Some(refusal.refused.into()),
            kept: refusal.kept.map(Into::into),
            code: refusal.code,
            item: error::cut(&refusal.item.replace(['\n', '\t'], " "), limits::NAME_BYTES),
            reason: error::cut(&refusal.reason, limits::REASON_BYTES),
        }
    }
}

impl TryFrom<wire::Heartbeat> for Heartbeat {
    type Error = ProtocolError;
    fn try_from(sent: wire::Heartbeat) -> Result<Self, ProtocolError> {
        Ok(Self {
            clock_ms: error::time_ms("Heartbeat.clock_ms", sent.clock_ms)?,
            uploads: uploads("Heartbeat.oldest_upload_ms", sent.uploads_open, sent.oldest_upload_ms)?,
        })
    }
}

impl From<Heartbeat> for wire::Heartbeat {
    fn from(beat: Heartbeat) -> Self {
        Self {
            clock_ms: beat.clock_ms,
            uploads_open: beat.uploads.count,
            oldest_upload_ms: beat.uploads.oldest_ms.unwrap_or(0),
        }
    }
}

impl TryFrom<wire::WatchDown> for WatchDown {
    type Error = ProtocolError;
    fn try_from(sent: wire::WatchDown) -> Result<Self, ProtocolError> {
        use wire::watch_down::Message;
        Ok(match sent.message {
            Some(Message::Bundle(sent)) => Self::Bundle(sent.try_into()?),
            Some(Message::Current(sent)) => Self::Current(held("Current.revision", sent.revision)?),
            Some(Message::Directives(sent)) => Self::Directives(sent.try_into()?),
            Some(Message::Assignment(sent)) => Self::Assignment(sent.try_into()?),
            None => Self::Unknown,
        })
    }
}

impl From<WatchDown> for wire::WatchDown {
    fn from(said: WatchDown) -> Self {
        use wire::watch_down::Message;
        let message = match said {
            WatchDown::Bundle(bundle) => Some(Message::Bundle(bundle.into())),
            WatchDown::Current(held) => Some(Message::Current(wire::Current { revision: Some(held.into()) })),
            WatchDown::Directives(directives) => Some(Message::Directives(directives.into())),
            WatchDown::Assignment(assignment) => Some(Message::Assignment(assignment.into())),
            WatchDown::Unknown => None,
        };
        Self { message }
    }
}

impl TryFrom<wire::PolicyBundle> for PolicyBundle {
    type Error = ProtocolError;
    fn try_from(sent: wire::PolicyBundle) -> Result<Self, ProtocolError> {
        if sent.document.len() > limits::DOCUMENT_BYTES {
            return Err(ProtocolError::new(
                "PolicyBundle.document",
                format!("longer than {} bytes", limits::DOCUMENT_BYTES),
            ));
        }
        Ok(Self { held: held("PolicyBundle.revision", sent.revision)?, format: sent.format, document: sent.document })
    }
}

impl From<PolicyBundle> for wire::PolicyBundle {
    fn from(bundle: PolicyBundle) -> Self {
        Self { revision: Some(bundle.held.into()), format: bundle.format, document: bundle.document }
    }
}

impl TryFrom<wire::Directives> for Directives {
    type Error = ProtocolError;
    fn try_from(sent: wire::Directives) -> Result<Self, ProtocolError> {
        Ok(Self {
            report_interval_ms: interval("Directives.report_interval_ms", sent.report_interval_ms)?,
            reconnect_after_ms: interval("Directives.reconnect_after_ms", sent.reconnect_after_ms)?,
            heartbeat_interval_ms: interval("Directives.heartbeat_interval_ms", sent.heartbeat_interval_ms)?,
            flush_keys: sent.flush_keys,
            full_report: sent.full_report,
        })
    }
}

impl From<Directives> for wire::Directives {
    fn from(directives: Directives) -> Self {
        Self {
            report_interval_ms: directives.report_interval_ms.unwrap_or(0),
            reconnect_after_ms: directives.reconnect_after_ms.unwrap_or(0),
            heartbeat_interval_ms: directives.heartbeat_interval_ms.unwrap_or(0),
            flush_keys: directives.flush_keys,
            full_report: directives.full_report,
        }
    }
}

/// Milliseconds; 0 is no wish.
pub(crate) fn interval(field: &'static str, ms: u64) -> Result<Option<u64>, ProtocolError> {
    if ms > limits::INTERVAL_MS {
        return Err(ProtocolError::new(field, format!("longer than {} ms", limits::INTERVAL_MS)));
    }
    Ok((ms > 0).then_some(ms))
}

impl TryFrom<wire::Assignment> for Assignment {
    type Error = ProtocolError;
    fn try_from(sent: wire::Assignment) -> Result<Self, ProtocolError> {
        if sent.labels.len() > limits::WORDS {
            return Err(ProtocolError::new("Assignment.labels", format!("more than {}", limits::WORDS)));
        }
        let name = |text| error::name("Assignment.labels", text, limits::GATEWAY_NAME_BYTES);
        let value = |text| error::text("Assignment.labels", text, limits::GATEWAY_NAME_BYTES);
        Ok(Self {
            name: error::name("Assignment.name", sent.name, limits::GATEWAY_NAME_BYTES)?,
            labels: sent
                .labels
                .into_iter()
                .map(|(k, v)| Ok((name(k)?, value(v)?)))
                .collect::<Result<_, ProtocolError>>()?,
        })
    }
}

impl From<Assignment> for wire::Assignment {
    fn from(assignment: Assignment) -> Self {
        Self { name: assignment.name, labels: assignment.labels.into_iter().collect() }
    }
}

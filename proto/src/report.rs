//! Statistics of one gateway, and Central's answer.
//!
//! Values are cumulative over a series. What changed since the last report is the sender's hint only: merging a report
//! twice, or one that names more than changed, changes nothing.

use ids::{Direction, Epoch, Outcome, StorageId};
use uuid::Uuid;

use crate::error::{self, ProtocolError};
use crate::{limits, wire};

/// One report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The life that made it.
    pub epoch: Epoch,
    /// The lifetime of the counters; see the protobuf file.
    pub series: Uuid,
    /// From 1, gapless within the series.
    pub sequence: u64,
    /// Begin of what it covers, Unix milliseconds.
    pub start_ms: i64,
    /// End of what it covers, Unix milliseconds, not before the begin.
    pub end_ms: i64,
    /// Every counter, not only what changed.
    pub full: bool,
    /// Objects by bucket, policy, outcome and direction.
    pub objects: Vec<ObjectCount>,
    /// Calls by KMS, operation and result.
    pub kms: Vec<KmsCount>,
    /// Requests by backend and result.
    pub upstreams: Vec<UpstreamCount>,
    /// Configuration and coverage; none where unchanged.
    pub inventory: Option<Inventory>,
    /// Milliseconds of which nothing is known, cumulative.
    pub gap_ms: u64,
}

/// Cumulative count for one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectCount {
    /// Bucket, or `__other__` beyond the bound of distinct keys.
    pub bucket: String,
    /// Name of the recorded policy; empty where none.
    pub policy: String,
    /// What became of the objects.
    pub outcome: Outcome,
    /// Which way they went.
    pub direction: Direction,
    /// How many.
    pub objects: u64,
    /// Plaintext bytes.
    pub bytes: u64,
}

/// Cumulative calls of one KMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsCount {
    /// KMS ID.
    pub kms: String,
    /// `wrap`, `unwrap` or `probe`.
    pub operation: String,
    /// `ok` or `error`.
    pub result: String,
    /// How many.
    pub calls: u64,
}

/// Cumulative requests to one backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamCount {
    /// Name of the backend.
    pub backend: String,
    /// `ok`, `client_error`, `server_error`, `unreachable`, or `broken` (the connection or the client's body).
    pub result: String,
    /// How many.
    pub requests: u64,
    /// Body bytes received from it.
    pub bytes_in: u64,
    /// Body bytes sent to it.
    pub bytes_out: u64,
}

/// What a gateway sees of the storage; see the protobuf file for the words of its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// The storage that it speaks of.
    pub storage_id: StorageId,
    /// When it was taken, Unix milliseconds.
    pub taken_ms: i64,
    /// Buckets.
    pub buckets: Vec<BucketState>,
    /// Configured KMS.
    pub kms: Vec<KmsState>,
    /// Backends.
    pub backends: Vec<BackendState>,
}

/// One bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BucketState {
    /// Its name.
    pub bucket: String,
    /// Its encryption is switched on.
    pub toggle: bool,
    /// Every new object is encrypted.
    pub encrypting: bool,
    /// Because of what; empty where it is not.
    pub because: String,
    /// Objects known to be encrypted.
    pub objects_encrypted: u64,
    /// Objects known to be plain.
    pub objects_plain: u64,
    /// Objects that were not looked at.
    pub objects_unknown: u64,
    /// Plaintext bytes of the encrypted ones.
    pub bytes_encrypted: u64,
    /// Bytes of the plain ones.
    pub bytes_plain: u64,
    /// When all of the bucket was last looked through, Unix milliseconds; 0: never, and how many objects there are
    /// besides those that are told is not known.
    pub looked_ms: i64,
}

/// One configured KMS; no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KmsState {
    /// Its ID.
    pub id: String,
    /// `rsa` or `vault`.
    pub provider: String,
    /// `ok` or `error`.
    pub state: String,
    /// New objects are encrypted by it.
    pub active: bool,
    /// How many key versions it has.
    pub key_versions: u32,
    /// When the newest was made, Unix milliseconds.
    pub newest_key_ms: i64,
    /// Stored objects that are known to need it; possibly fewer than there are.
    pub objects: u64,
}

/// One backend.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackendState {
    /// Its name.
    pub name: String,
    /// `directory` or `s3`.
    pub kind: String,
    /// Since when it is configured, Unix milliseconds.
    pub added_ms: i64,
    /// How many buckets it has.
    pub buckets: u64,
    /// Its region.
    pub region: String,
}

/// Central's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportAck {
    /// Everything of the series up to and including this sequence is merged.
    pub merged_up_to: u64,
    /// The next report shall have every counter.
    pub want_full: bool,
    /// Milliseconds until the next report; none: as before.
    pub next_interval_ms: Option<u64>,
    /// The report was kept aside, since the gateway is in quarantine: it is not merged, and need not be sent again.
    pub aside: bool,
}

impl TryFrom<wire::Report> for Report {
    type Error = ProtocolError;
    fn try_from(sent: wire::Report) -> Result<Self, ProtocolError> {
        error::at_most("Report.objects", &sent.objects, limits::COUNTERS)?;
        error::at_most("Report.kms", &sent.kms, limits::COUNTERS)?;
        error::at_most("Report.upstreams", &sent.upstreams, limits::COUNTERS)?;
        let start_ms = error::time_ms("Report.start_ms", sent.start_ms)?;
        let end_ms = error::time_ms("Report.end_ms", sent.end_ms)?;
        if end_ms < start_ms {
            return Err(ProtocolError::new("Report.end_ms", "it is before the begin"));
        }
        if sent.sequence == 0 {
            return Err(ProtocolError::new("Report.sequence", "sequences begin at 1"));
        }
        Ok(Self {
            epoch: error::parsed("Report.epoch", &sent.epoch)?,
            series: Uuid::parse_str(&sent.series)
                .map_err(|_| ProtocolError::new("Report.series", "it must be a UUID"))?,
            sequence: error::count("Report.sequence", sent.sequence)?,
            start_ms,
            end_ms,
            full: sent.full,
            objects: sent.objects.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            kms: sent.kms.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            upstreams: sent.upstreams.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            inventory: sent.inventory.map(TryInto::try_into).transpose()?,
            gap_ms: error::count("Report.gap_ms", sent.gap_ms)?,
        })
    }
}

impl From<Report> for wire::Report {
    fn from(report: Report) -> Self {
        Self {
            epoch: report.epoch.to_string(),
            sequence: report.sequence,
            start_ms: report.start_ms,
            end_ms: report.end_ms,
            full: report.full,
            objects: report.objects.into_iter().map(Into::into).collect(),
            kms: report.kms.into_iter().map(Into::into).collect(),
            upstreams: report.upstreams.into_iter().map(Into::into).collect(),
            inventory: report.inventory.map(Into::into),
            gap_ms: report.gap_ms,
            series: report.series.to_string(),
        }
    }
}

impl TryFrom<wire::ObjectCount> for ObjectCount {
    type Error = ProtocolError;
    fn try_from(sent: wire::ObjectCount) -> Result<Self, ProtocolError> {
        Ok(Self {
            bucket: error::text("ObjectCount.bucket", sent.bucket, limits::NAME_BYTES)?,
            policy: error::text("ObjectCount.policy", sent.policy, limits::NAME_BYTES)?,
            outcome: error::parsed("ObjectCount.outcome", &sent.outcome)?,
            direction: error::parsed("ObjectCount.direction", &sent.direction)?,
            objects: error::count("ObjectCount.objects", sent.objects)?,
            bytes: error::count("ObjectCount.bytes", sent.bytes)?,
        })
    }
}

impl From<ObjectCount> for wire::ObjectCount {
    fn from(count: ObjectCount) -> Self {
        Self {
            bucket: count.bucket,
            policy: count.policy,
            outcome: count.outcome.as_str().to_owned(),
            direction: count.direction.as_str().to_owned(),
            objects: count.objects,
            bytes: count.bytes,
        }
    }
}

impl TryFrom<wire::KmsCount> for KmsCount {
    type Error = ProtocolError;
    fn try_from(sent: wire::KmsCount) -> Result<Self, ProtocolError> {
        Ok(Self {
            kms: error::text("KmsCount.kms", sent.kms, limits::NAME_BYTES)?,
            operation: error::name("KmsCount.operation", sent.operation, limits::WORD_BYTES)?,
            result: error::name("KmsCount.result", sent.result, limits::WORD_BYTES)?,
            calls: error::count("KmsCount.calls", sent.calls)?,
        })
    }
}

impl From<KmsCount> for wire::KmsCount {
    fn from(count: KmsCount) -> Self {
        Self { kms: count.kms, operation: count.operation, result: count.result, calls: count.calls }
    }
}

impl TryFrom<wire::UpstreamCount> for UpstreamCount {
    type Error = ProtocolError;
    fn try_from(sent: wire::UpstreamCount) -> Result<Self, ProtocolError> {
        Ok(Self {
            backend: error::text("UpstreamCount.backend", sent.backend, limits::NAME_BYTES)?,
            result: error::name("UpstreamCount.result", sent.result, limits::WORD_BYTES)?,
            requests: error::count("UpstreamCount.requests", sent.requests)?,
            bytes_in: error::count("UpstreamCount.bytes_in", sent.bytes_in)?,
            bytes_out: error::count("UpstreamCount.bytes_out", sent.bytes_out)?,
        })
    }
}

impl From<UpstreamCount> for wire::UpstreamCount {
    fn from(count: UpstreamCount) -> Self {
        Self {
            backend: count.backend,
            result: count.result,
            requests: count.requests,
            bytes_in: count.bytes_in,
            bytes_out: count.bytes_out,
        }
    }
}

impl TryFrom<wire::Inventory> for Inventory {
    type Error = ProtocolError;
    fn try_from(sent: wire::Inventory) -> Result<Self, ProtocolError> {
        error::at_most("Inventory.buckets", &sent.buckets, limits::COUNTERS)?;
        error::at_most("Inventory.kms", &sent.kms, limits::PARTS)?;
        error::at_most("Inventory.backends", &sent.backends, limits::PARTS)?;
        Ok(Self {
            storage_id: error::parsed("Inventory.storage_id", &sent.storage_id)?,
            taken_ms: error::time_ms("Inventory.taken_ms", sent.taken_ms)?,
            buckets: sent.buckets.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            kms: sent.kms.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            backends: sent.backends.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        })
    }
}

impl From<Inventory> for wire::Inventory {
    fn from(inventory: Inventory) -> Self {
        Self {
            storage_id: inventory.storage_id.to_string(),
            taken_ms: inventory.taken_ms,
            buckets: inventory.buckets.into_iter().map(Into::into).collect(),
            kms: inventory.kms.into_iter().map(Into::into).collect(),
            backends: inventory.backends.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::BucketState> for BucketState {
    type Error = ProtocolError;
    fn try_from(sent: wire::BucketState) -> Result<Self, ProtocolError> {
        Ok(Self {
            bucket: error::name("BucketState.bucket", sent.bucket, limits::NAME_BYTES)?,
            toggle: sent.toggle,
            encrypting: sent.encrypting,
            because: error::text("BucketState.because", sent.because, limits::NAME_BYTES)?,
            objects_encrypted: error::count("BucketState.objects_encrypted", sent.objects_encrypted)?,
            objects_plain: error::count("BucketState.objects_plain", sent.objects_plain)?,
            objects_unknown: error::count("BucketState.objects_unknown", sent.objects_unknown)?,
            bytes_encrypted: error::count("BucketState.bytes_encrypted", sent.bytes_encrypted)?,
            bytes_plain: error::count("BucketState.bytes_plain", sent.bytes_plain)?,
            looked_ms: error::time_ms("BucketState.looked_ms", sent.looked_ms)?,
        })
    }
}

impl From<BucketState> for wire::BucketState {
    fn from(state: BucketState) -> Self {
        Self {
            bucket: state.bucket,
            toggle: state.toggle,
            encrypting: state.encrypting,
            because: error::cut(&state.because, limits::NAME_BYTES),
            objects_encrypted: state.objects_encrypted,
            objects_plain: state.objects_plain,
            objects_unknown: state.objects_unknown,
            bytes_encrypted: state.bytes_encrypted,
            bytes_plain: state.bytes_plain,
            looked_ms: state.looked_ms,
        }
    }
}

impl TryFrom<wire::KmsState> for KmsState {
    type Error = ProtocolError;
    fn try_from(sent: wire::KmsState) -> Result<Self, ProtocolError> {
        Ok(Self {
            id: error::name("KmsState.id", sent.id, limits::NAME_BYTES)?,
            provider: error::name("KmsState.provider", sent.provider, limits::WORD_BYTES)?,
            state: error::name("KmsState.state", sent.state, limits::WORD_BYTES)?,
            active: sent.active,
            key_versions: sent.key_versions,
            newest_key_ms: error::time_ms("KmsState.newest_key_ms", sent.newest_key_ms)?,
            objects: error::count("KmsState.objects", sent.objects)?,
        })
    }
}

impl From<KmsState> for wire::KmsState {
    fn from(state: KmsState) -> Self {
        Self {
            id: state.id,
            provider: state.provider,
            state: state.state,
            active: state.active,
            key_versions: state.key_versions,
            newest_key_ms: state.newest_key_ms,
            objects: state.objects,
        }
    }
}

impl TryFrom<wire::BackendState> for BackendState {
    type Error = ProtocolError;
    fn try_from(sent: wire::BackendState) -> Result<Self, ProtocolError> {
        Ok(Self {
            name: error::name("BackendState.name", sent.name, limits::NAME_BYTES)?,
            kind: error::name("BackendState.kind", sent.kind, limits::WORD_BYTES)?,
            added_ms: error::time_ms("BackendState.added_ms", sent.added_ms)?,
            buckets: error::count("BackendState.buckets", sent.buckets)?,
            region: error::text("BackendState.region", sent.region, limits::WORD_BYTES)?,
        })
    }
}

impl From<BackendState> for wire::BackendState {
    fn from(state: BackendState) -> Self {
        Self {
            name: state.name,
            kind: state.kind,
            added_ms: state.added_ms,
            buckets: state.buckets,
            region: state.region,
        }
    }
}

impl TryFrom<wire::ReportAck> for ReportAck {
    type Error = ProtocolError;
    fn try_from(sent: wire::ReportAck) -> Result<Self, ProtocolError> {
        Ok(Self {
            merged_up_to: sent.merged_up_to,
            want_full: sent.want_full,
            next_interval_ms: crate::watch::interval("ReportAck.next_interval_ms", sent.next_interval_ms)?,
            aside: sent.aside,
        })
    }
}

impl From<ReportAck> for wire::ReportAck {
    fn from(ack: ReportAck) -> Self {
        Self {
            merged_up_to: ack.merged_up_to,
            want_full: ack.want_full,
            next_interval_ms: ack.next_interval_ms.unwrap_or(0),
            aside: ack.aside,
        }
    }
}

impl Report {
    /// The bytes that a gateway keeps until the report is acknowledged.
    pub fn to_bytes(self) -> Vec<u8> {
        prost::Message::encode_to_vec(&wire::Report::from(self))
    }

    /// Reads [`Report::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProtocolError> {
        let sent: wire::Report = prost::Message::decode(bytes)
            .map_err(|error| ProtocolError::new("Report", format!("it is no report: {error}")))?;
        sent.try_into()
    }
}

//! The command line as it is written; what each command does is in the module of its noun.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use crate::duration::parse_duration;

/// Encrypts objects on their way to S3 storage, by policy, with keys that only you hold.
#[derive(Parser)]
#[command(name = "sealgate", version)]
pub(crate) struct Args {
    /// Print one JSON object on standard output; a refusal is one RFC 9457 problem on standard error.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    // Not by clap's `env`: a usage message would list it as if it were required wherever the variable is set.
    /// Take addresses and tokens from the ready file of `sealgate dev`; also from the variable `SEALGATE_READY_FILE`.
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) ready_file: Option<PathBuf>,
    /// Which gateway of the ready file; the first by default.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) gateway: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run everything on this machine, for evaluation.
    Dev(DevArgs),
    /// Governance policies at Central.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Gateways as Central sees them.
    #[command(subcommand)]
    Gateway(GatewayCommand),
    /// Key management services of a gateway group.
    #[command(subcommand)]
    Kms(KmsCommand),
    /// Buckets and their encryption.
    #[command(subcommand)]
    Bucket(BucketCommand),
    /// Stored objects.
    #[command(subcommand)]
    Object(ObjectCommand),
    /// Consolidated statistics of Central.
    Stats(StatsArgs),
    /// The audit log of Central.
    #[command(subcommand)]
    Audit(AuditCommand),
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DevKms {
    /// Make an RSA master key at the first start and activate it.
    Rsa,
    /// Leave the KMS to the user.
    None,
}

#[derive(clap::Args)]
pub(crate) struct DevArgs {
    /// Everything that is kept.
    #[arg(long, value_name = "DIR", default_value = "./sealgate-data")]
    pub(crate) data: PathBuf,
    /// Address of all listeners.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    pub(crate) listen: IpAddr,
    /// S3 N, gateway console N+1, gateway metrics N+2, further gateways +10 each (nine in all); Central console N+100, gRPC
    /// N+101, metrics N+102. 0: any free ports, any number of gateways.
    #[arg(long, value_name = "N", default_value_t = 9000)]
    pub(crate) port_base: u16,
    /// Number of gateways: one group over one storage. Without it as many as the data directory has; at the first start
    /// one, and four with --demo.
    #[arg(long, value_name = "N")]
    pub(crate) gateways: Option<u16>,
    /// A label that Central gives a gateway: NAME:key=value. At a later start it replaces the one of that key; the
    /// gateway's other labels stay.
    #[arg(long, value_name = "NAME:k=v")]
    pub(crate) gateway_label: Vec<String>,
    /// S3 service to use as storage; credentials from `SEALGATE_UPSTREAM_ACCESS_KEY`,
    /// `SEALGATE_UPSTREAM_SECRET_KEY` and `SEALGATE_UPSTREAM_REGION`.
    #[arg(long, value_name = "URL")]
    pub(crate) upstream: Option<String>,
    /// An existing PostgreSQL instead of a private one.
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// What to do for a KMS at the first start.
    #[arg(long, value_enum, default_value_t = DevKms::Rsa)]
    pub(crate) kms: DevKms,
    /// How often gateways report to Central.
    #[arg(long, value_name = "D", default_value = "1s", value_parser = parse_duration)]
    pub(crate) report_interval: Duration,
    /// Something to look at: policies in each mode, clients that store and read all the time, a gateway that refuses the
    /// newest policies, and one that is stopped.
    #[arg(long)]
    pub(crate) demo: bool,
    /// Write addresses, tokens and passwords into this file once everything answers, and remove it at the end; also from
    /// the variable `SEALGATE_READY_FILE`. One of another `sealgate dev` that runs is left alone.
    // The global argument of this name, whose value it shares: only for `dev` it is written.
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
}

impl DevArgs {
    /// Number of gateways.
    pub(crate) fn gateways(&self) -> u16 {
        self.gateways.unwrap_or(if self.demo { DEMO_GATEWAYS } else { 1 })
    }
}

/// So many gateways a demonstration takes at least: two that serve, one that refuses, one that is stopped.
pub(crate) const DEMO_GATEWAYS: u16 = 4;

/// How far a revision must have come.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// Every gateway has the bytes.
    Received,
    /// Every gateway decides new requests by it.
    Applied,
    /// And every write decided under an older revision has ended.
    Effective,
}

impl Progress {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Applied => "applied",
            Self::Effective => "effective",
        }
    }
}

#[derive(clap::Args)]
pub(crate) struct WaitArgs {
    /// Wait until the revision has come so far on every active gateway that is connected, or, where none is, on all
    /// that are active. Uploads in parts that were begun before finish as they were decided.
    #[arg(long, value_enum)]
    pub(crate) wait: Option<Progress>,
    /// How long to wait.
    #[arg(long, value_name = "D", default_value = "60s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
}

#[derive(Subcommand)]
pub(crate) enum PolicyCommand {
    /// Create or replace the policies of the files, in one revision.
    Apply {
        /// YAML or JSON; several documents in one file are welcome.
        #[arg(short = 'f', long = "file", value_name = "FILE", required = true, num_args = 1..)]
        files: Vec<PathBuf>,
        /// Delete every policy that is not in the files.
        #[arg(long)]
        prune: bool,
        /// Apply only if the set is still at this revision, as `policy history` shows it; else nothing is changed.
        #[arg(long, value_name = "N")]
        if_revision: Option<u64>,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Parse and validate; nothing is stored and no service is needed.
    Check {
        #[arg(short = 'f', long = "file", value_name = "FILE", required = true, num_args = 1..)]
        files: Vec<PathBuf>,
    },
    /// List the policies.
    List,
    /// Print one policy as it was written.
    Get { name: String },
    /// Delete one policy.
    Delete {
        name: String,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// List the revisions.
    History,
    /// Publish the content of an earlier revision as a new one.
    Rollback {
        revision: u64,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Publish Central's set as the first revision of a new lineage, which every gateway takes whatever it held: the
    /// way out where Central was restored from a backup that is older than what the gateways hold.
    BeginLineage {
        /// The lineage that ends; without it is told what would happen, and which that is.
        #[arg(long, value_name = "LINEAGE")]
        confirm: Option<String>,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// What changed between two revisions.
    Diff { a: u64, b: u64 },
    /// Which policies apply to an object, and why.
    Explain {
        /// A JSON document: {"bucket","object":{"key","size",…},"request":{"principal"},"gateway":{"labels"}}.
        #[arg(short = 'f', long = "file", value_name = "REQUEST")]
        file: PathBuf,
    },
}

#[derive(Subcommand)]
pub(crate) enum GatewayCommand {
    /// List the gateways with state, connection and revision.
    List,
    /// Show one gateway as it sees itself: what is wrong, and how it stands with Central.
    Status,
    /// Make a one-use enrolment token.
    Token {
        /// The name that the gateway will have.
        #[arg(long)]
        name: Option<String>,
        /// How long the token is good.
        #[arg(long, value_name = "D", default_value = "1h", value_parser = parse_duration)]
        ttl: Duration,
        /// A label that policies select by (repeatable).
        #[arg(long, value_name = "k=v")]
        label: Vec<String>,
    },
    /// Give a gateway these labels and no others; a running one decides by them a moment later. Without any: print
    /// those that it has.
    Label {
        name: String,
        #[arg(value_name = "k=v")]
        labels: Vec<String>,
        /// Take all its labels away.
        #[arg(long, conflicts_with = "labels")]
        clear: bool,
    },
    /// End the gateway's stream and refuse its certificate until it is resumed.
    Suspend { name: String },
    /// Let a suspended gateway back in.
    Resume { name: String },
    /// Refuse the gateway for ever, at once and without asking; its statistics stay. `suspend` can be taken back.
    Retire { name: String },
    /// End the quarantine of a gateway once its clone is dealt with: the next life that speaks is the gateway.
    Release { name: String },
}

#[derive(Subcommand)]
pub(crate) enum KmsCommand {
    /// List the KMSs.
    List,
    /// Add a KMS.
    #[command(subcommand)]
    Add(KmsAdd),
    /// Make a KMS the one that new objects are sealed under.
    Activate { id: String },
    /// Remove a KMS; objects under it cannot be read until it is added again.
    Remove {
        id: String,
        /// The ID once more.
        #[arg(long, value_name = "ID")]
        confirm: String,
    },
    /// Give a KMS a new key version, from a file or made in place; the older ones still decrypt.
    Rotate {
        id: String,
        /// RSA private key, PEM (PKCS#1 or PKCS#8), 2048 to 8192 bits.
        #[arg(long = "key", value_name = "FILE", required_unless_present = "generate", conflicts_with_all = ["generate", "copy"])]
        file: Option<PathBuf>,
        /// Make the key in place, of so many bits: 2048, 3072, 4096 or 8192.
        #[arg(long, value_name = "BITS")]
        generate: Option<u32>,
        #[command(flatten)]
        copy: CopyArgs,
    },
    /// Add a KMS whose RSA key is made in place.
    Generate {
        #[arg(long)]
        id: String,
        /// 2048, 3072, 4096 or 8192.
        #[arg(long, default_value_t = 4096)]
        bits: u32,
        /// Make it the active KMS. The first one becomes active by itself.
        #[arg(long)]
        activate: bool,
        #[command(flatten)]
        copy: CopyArgs,
    },
    /// Write a copy of a key that was made in place, encrypted under a passphrase. Who took it and why stays in the
    /// gateway's log.
    Copy {
        id: String,
        /// Which key, by its fingerprint; the active one by default.
        #[arg(long = "key", value_name = "FINGERPRINT")]
        fingerprint: Option<String>,
        /// Where the copy goes; it must not exist.
        #[arg(short = 'o', long = "output", value_name = "FILE")]
        output: PathBuf,
        /// Where the passphrase stands under which the copy is encrypted: 12 to 1024 bytes.
        #[arg(long, value_name = "F")]
        passphrase_file: PathBuf,
        /// Why, for the log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Record that a copy of a key that was made in place is kept: its fingerprint, as `kms copy` prints it.
    BackedUp {
        id: String,
        #[arg(long = "key", value_name = "FINGERPRINT")]
        fingerprint: String,
    },
}

#[derive(clap::Args)]
pub(crate) struct CopyArgs {
    /// Where a copy of the key that is made goes, encrypted under the passphrase; it must not exist.
    #[arg(long = "copy", value_name = "FILE", requires = "passphrase_file")]
    pub(crate) copy: Option<PathBuf>,
    /// Where the passphrase of the file, or of the copy (12 to 1024 bytes), stands.
    #[arg(long, value_name = "F")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum KmsAdd {
    /// The built-in KMS with an RSA master key.
    Rsa {
        #[arg(long)]
        id: String,
        #[command(flatten)]
        key: KeyArgs,
        /// Make it the active KMS. The first one becomes active by itself.
        #[arg(long)]
        activate: bool,
    },
}

#[derive(clap::Args)]
pub(crate) struct KeyArgs {
    /// RSA private key, PEM (PKCS#1 or PKCS#8), 2048 to 8192 bits.
    #[arg(long = "key", value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Where the passphrase of an encrypted PEM stands.
    #[arg(long, value_name = "F")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnOff {
    On,
    Off,
}

#[derive(Subcommand)]
pub(crate) enum BucketCommand {
    /// List the buckets with their encryption.
    List,
    /// Switch the encryption of a bucket.
    Encrypt { name: String, switch: OnOff },
    /// Is a bucket encrypted, and why.
    Status { name: String },
    /// Make a bucket.
    Create { name: String },
    /// Remove a bucket in which nothing lies, with its switch and settings.
    Delete {
        name: String,
        /// The name once more.
        #[arg(long, value_name = "NAME")]
        confirm: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum ObjectCommand {
    /// Print which file holds the stored bytes of an object (directory storage).
    Path {
        bucket: String,
        key: String,
        /// The directory of the storage, to look there and ask no service; `storage` in the data directory of `dev`.
        #[arg(long, value_name = "DIR")]
        storage: Option<PathBuf>,
    },
    /// What the stored bytes say; no key and no service is needed.
    Inspect { file: PathBuf },
    /// Decrypt stored bytes with the key alone; no service is needed.
    Decrypt {
        file: PathBuf,
        /// Where the plaintext goes; it must not exist.
        #[arg(short = 'o', long = "output", value_name = "OUT")]
        output: PathBuf,
        /// RSA private key, PEM.
        #[arg(long, value_name = "PEM")]
        rsa_key: PathBuf,
        /// Where the passphrase of an encrypted PEM stands.
        #[arg(long, value_name = "F")]
        passphrase_file: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    Gateway,
    Bucket,
    Policy,
    Outcome,
}

impl By {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Bucket => "bucket",
            Self::Policy => "policy",
            Self::Outcome => "outcome",
        }
    }
}

#[derive(clap::Args)]
pub(crate) struct StatsArgs {
    /// Add up by one column; all four by default.
    #[arg(long, value_enum)]
    pub(crate) by: Option<By>,
    /// Only what was counted since: RFC 3339, or a duration before now such as 2h.
    #[arg(long, value_name = "T")]
    pub(crate) since: Option<String>,
    /// Instead: how much of what is stored is encrypted, bucket by bucket, and how old that knowledge is.
    #[arg(long, conflicts_with_all = ["by", "since"])]
    pub(crate) coverage: bool,
}

#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Write the whole log, one JSON record a line.
    Export {
        #[arg(short = 'o', long = "output", value_name = "FILE")]
        output: PathBuf,
    },
    /// Verify the chain of an exported log; no service is needed.
    Verify { file: PathBuf },
}

//! `--demo`: something true to look at. Policies in each mode, and S3 clients that store and read through the gateways
//! for as long as `dev` runs. The last gateway but one refuses the newest policies, the last is stopped.
//!
//! ```text
//! buckets ─▶ policies, effective everywhere ─▶ a gateway that cannot write them ─▶ one more policy: refused there
//!                                          ─▶ a gateway is stopped ─▶ traffic, until the end
//! ```
//! Nothing of it is made up: every number in the consoles comes of requests that were made. Keys are used again, so
//! what is stored does not grow.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::process::say;
use super::settings::{REGION, Secrets};
use crate::args::DEMO_GATEWAYS;
use crate::client::Client;
use crate::failure::{Context, Failure};

/// Between two requests of one client.
const PAUSE: Duration = Duration::from_millis(400);
/// Until the first policies are in force everywhere.
const EFFECTIVE: Duration = Duration::from_mins(1);
/// Objects of a bucket: keys are used again.
const KEYS: u64 = 60;
/// Longest object, in bytes.
const LONGEST: u64 = 256 << 10;

/// Bucket, beginning of the keys, their ending, and tags: what the clients store.
const TRAFFIC: &[(&str, &str, &str, &str)] = &[
    ("hr-europe", "payroll/2026/", ".csv", ""),
    ("hr-europe", "handbook/", ".html", ""),
    ("finance", "payroll/", ".csv", ""),
    ("finance", "reports/", ".pdf", ""),
    ("finance", "notes/", ".txt", "classification=pii"),
    ("contracts", "signed/", ".pdf", ""),
    ("contracts", "drafts/", ".docx", ""),
    ("website", "images/", ".png", ""),
    ("website", "downloads/", ".exe", ""),
    ("backups", "daily/", ".tar", ""),
    ("invoices", "2026/", ".xml", ""),
];

/// The bucket that is encrypted by its toggle.
const TOGGLED: &str = "backups";

const POLICIES: &str = r#"apiVersion: sealgate.dev/v1
kind: GovernancePolicy
metadata: { name: payroll-secure-handling, description: Payroll and personal data are always encrypted }
spec:
  mode: enforce
  priority: 100
  buckets: ["hr-*", "finance"]
  when: object.key.startsWith("payroll/") || object.tags["classification"] in ["pii", "secret"]
  effect: encrypt
---
apiVersion: sealgate.dev/v1
kind: GovernancePolicy
metadata: { name: no-programs-on-the-website, description: Nobody offers programs for download }
spec:
  mode: enforce
  priority: 200
  buckets: ["website"]
  when: object.key.endsWith(".exe")
  effect: deny
---
apiVersion: sealgate.dev/v1
kind: GovernancePolicy
metadata: { name: contracts-are-confidential, description: On trial until the legal department agrees }
spec:
  mode: audit
  buckets: ["contracts"]
  when: object.key.startsWith("signed/")
  effect: encrypt
---
apiVersion: sealgate.dev/v1
kind: GovernancePolicy
metadata: { name: retired-archive-rule, description: Kept for its history }
spec:
  mode: disabled
  buckets: ["archive-*"]
  effect: encrypt
"#;

const ONE_MORE: &str = r#"apiVersion: sealgate.dev/v1
kind: GovernancePolicy
metadata: { name: invoices-are-encrypted, description: Invoices are encrypted from now on }
spec:
  mode: enforce
  priority: 50
  buckets: ["invoices"]
  effect: encrypt
"#;

/// A gateway of the demonstration.
pub(super) struct Gateway {
    /// Its name in the fleet.
    pub(super) name: String,
    /// `http://…` of its S3 listener.
    pub(super) s3: String,
    /// `http://…` of its console.
    pub(super) console: String,
    /// Its local state.
    pub(super) state: std::path::PathBuf,
}

/// Buckets and policies. When this returns, the last gateway may be stopped.
pub(super) async fn prepare(central: &Client, gateways: &[Gateway], secrets: &Secrets) -> Result<(), Failure> {
    let [first, .., refuser, _] = gateways else {
        return Err(Failure::refused(format!("--demo needs {DEMO_GATEWAYS} gateways")));
    };
    let s3 = S3::new(&first.s3, secrets)?;
    let mut buckets: Vec<&str> = TRAFFIC.iter().map(|(bucket, ..)| *bucket).collect();
    buckets.dedup();
    for bucket in buckets {
        match s3.send(Method::PUT, &format!("/{bucket}"), &[], Vec::new()).await? {
            StatusCode::OK | StatusCode::CONFLICT => {}
            status => return Err(Failure::refused(format!("the bucket {bucket} cannot be made: {status}"))),
        }
    }
    let admin = Client::new(&first.console, &secrets.gateway_token);
    let on = json!({ "encrypt": true });
    admin.call(Method::PUT, &["buckets", TOGGLED, "encryption"], &[], Some(&on), None).await?;

    release(refuser)?;
    let policies = central.get(&["policies"], &[]).await?;
    if policies["policies"].as_array().is_some_and(|all| all.iter().any(|policy| policy["name"] == NEWEST)) {
        central.call(Method::DELETE, &["policies", NEWEST], &[], None, Some("*")).await?;
    }
    central.post_text(&["policy-set", "apply"], &[], POLICIES.to_owned(), None).await?;
    effective(central).await?;
    // From here on what it receives cannot be written down, and a gateway does not go by what it would lose.
    for slot in SLOTS {
        make(&refuser.state.join("policies").join(slot))?;
    }
    central.post_text(&["policy-set", "apply"], &[], ONE_MORE.to_owned(), None).await.map(drop)
}

const NEWEST: &str = "invoices-are-encrypted";
/// The files that a gateway writes policies to; a folder in their place cannot be written.
const SLOTS: [&str; 2] = ["a.new", "b.new"];

/// Lets the refusing gateway of an earlier demonstration in this directory go on.
fn release(gateway: &Gateway) -> Result<(), Failure> {
    for slot in SLOTS {
        let folder = gateway.state.join("policies").join(slot);
        if folder.is_dir() {
            std::fs::remove_dir(&folder).or_refuse(|| format!("{} cannot be removed", folder.display()))?;
        }
    }
    Ok(())
}

fn make(folder: &std::path::Path) -> Result<(), Failure> {
    std::fs::create_dir(folder).or_refuse(|| format!("{} cannot be made", folder.display()))
}

async fn effective(central: &Client) -> Result<(), Failure> {
    let end = tokio::time::Instant::now() + EFFECTIVE;
    loop {
        let now = central.get(&["convergence"], &[]).await?;
        if now["effective"] == now["gateways"] || tokio::time::Instant::now() > end {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Stores and reads until it is dropped. A gateway that does not answer is tried again.
pub(super) async fn traffic(gateways: &[Gateway], secrets: &Secrets) -> Result<(), Failure> {
    let serving = gateways.split_last().map_or(gateways, |(_, serving)| serving);
    let clients = serving.iter().enumerate().map(async |(number, gateway)| {
        let s3 = S3::new(&gateway.s3, secrets)?;
        let mut told = false;
        // Each client begins elsewhere in its walk over the keys.
        for turn in (number as u64 * 17).. {
            match one(&s3, turn).await {
                Ok(()) => told = false,
                Err(failure) if !told => {
                    say(&format!("the demonstration at {}: {}", gateway.name, failure.text()));
                    told = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok::<_, Failure>(())
    });
    futures_util::future::try_join_all(clients).await.map(drop)
}

/// A write, and every other turn a read.
async fn one(s3: &S3, turn: u64) -> Result<(), Failure> {
    let mixed = turn.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
    let which = usize::try_from(mixed % TRAFFIC.len() as u64).unwrap_or_default();
    let (bucket, folder, ending, tags) = TRAFFIC[which];
    let path = format!("/{bucket}/{folder}{:03}{ending}", (mixed >> 8) % KEYS);
    let size = 1 + (mixed >> 16) % LONGEST;
    let body: Vec<u8> =
        (0..size).map(|at| b"sealgate demonstration\n"[usize::try_from(at % 23).unwrap_or_default()]).collect();
    let tagging = [("x-amz-tagging", tags)];
    let headers: &[(&str, &str)] = if tags.is_empty() { &[] } else { &tagging };
    let stored = s3.send(Method::PUT, &path, headers, body).await?;
    // What a policy denies is part of what is shown.
    if !stored.is_success() && stored != StatusCode::FORBIDDEN {
        return Err(Failure::refused(format!("PUT {path} was answered with {stored}")));
    }
    if turn.is_multiple_of(2) && stored.is_success() {
        s3.send(Method::GET, &path, &[], Vec::new()).await?;
    }
    Ok(())
}

/// As much of an S3 client as this takes.
struct S3 {
    base: String,
    identity: Identity,
    http: reqwest::Client,
}

impl S3 {
    fn new(base: &str, secrets: &Secrets) -> Result<Self, Failure> {
        let credentials = Credentials::new(&secrets.access_key, &secrets.secret_key, None, None, "dev");
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build();
        let http = http.or_refuse(|| "an HTTP client cannot be made".to_owned())?;
        Ok(Self { base: base.to_owned(), identity: credentials.into(), http })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<StatusCode, Failure> {
        let refused = || "a request cannot be signed".to_owned();
        let url = format!("{}{path}", self.base);
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let params = v4::SigningParams::builder()
            .identity(&self.identity)
            .region(REGION)
            .name("s3")
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .or_refuse(refused)?
            .into();
        let signable =
            SignableRequest::new(method.as_str(), &url, headers.iter().copied(), SignableBody::UnsignedPayload)
                .or_refuse(refused)?;
        let (instructions, _) = sign(signable, &params).or_refuse(refused)?.into_parts();
        let mut request = self.http.request(method, &url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        for (name, value) in instructions.headers() {
            request = request.header(name, value);
        }
        let answer = request.send().await.or_refuse(|| format!("{} does not answer", self.base))?;
        let status = answer.status();
        answer.bytes().await.or_refuse(|| format!("{} breaks off", self.base))?;
        Ok(status)
    }
}

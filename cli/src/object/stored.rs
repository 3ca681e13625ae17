//! The stored bytes of one object in a file, and what they say without any key.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use envelope::{FOOTER_GUESS, Footer, FooterRead, FormatError, MAX_FOOTER, begins_with_magic};
use kms::KekRecord;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::failure::{Context, Failure};

/// The one version of the format that this program reads.
const FORMAT: u16 = 1;

/// A file of stored bytes, read at its two ends.
pub(super) struct Stored {
    path: PathBuf,
    file: File,
    len: u64,
    /// None: it begins and ends like no sealed object.
    footer: Option<Footer>,
}

impl Stored {
    /// Reads both ends. A file that is sealed at one end only is refused: it was changed, or cut off.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let refused = || format!("{} cannot be read", path.display());
        let mut file = File::open(path).or_refuse(refused)?;
        let metadata = file.metadata().or_refuse(refused)?;
        if !metadata.is_file() {
            return Err(Failure::refused(format!("{} is not a file", path.display())));
        }
        let len = metadata.len();
        let start = read_at(&mut file, 0, len.min(64)).or_refuse(refused)?;
        let begins = begins_with_magic(&start) == Some(true);
        let damaged = |why: &str| Failure::refused(format!("{} is sealed but damaged: {why}", path.display()));
        let mut read = suffix(&mut file, len, FOOTER_GUESS).or_refuse(refused)?;
        if let Ok(FooterRead::NeedSuffix(need)) = read {
            read = suffix(&mut file, len, need.min(MAX_FOOTER)).or_refuse(refused)?;
        }
        let footer = match (begins, read) {
            (true, Ok(FooterRead::Footer(footer))) => Some(footer),
            (false, Err(FormatError::NoFooter)) => None,
            (false, Ok(_)) => return Err(damaged("it ends in a footer but does not begin with a sealed part")),
            (true, Ok(FooterRead::NeedSuffix(_))) => return Err(damaged("its footer is longer than any can be")),
            (_, Err(error)) => return Err(damaged(&error.to_string())),
        };
        Ok(Self { path: path.to_owned(), file, len, footer })
    }

    /// Length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The footer; a refusal where the file is not sealed.
    pub(super) fn footer(&self) -> Result<&Footer, Failure> {
        self.footer.as_ref().ok_or_else(|| Failure::refused(format!("{} is not encrypted", self.path.display())))
    }

    /// The KEK as the KMS wrapped it.
    pub(super) fn kek_record(&self) -> Result<KekRecord, Failure> {
        KekRecord::parse(self.footer()?.header().kek_record())
            .or_refuse(|| format!("the key record in {} cannot be read", self.path.display()))
    }

    /// The file at its first byte.
    pub(super) fn rewound(&mut self) -> Result<&mut File, Failure> {
        self.file.rewind().or_refuse(|| format!("{} cannot be read", self.path.display()))?;
        Ok(&mut self.file)
    }

    /// What the bytes say: nothing of it is verified before the object is opened, and `verified` says so.
    pub(super) fn report(&self) -> Result<Value, Failure> {
        let Some(footer) = &self.footer else {
            return Ok(json!({
                "encrypted": false, "verified": false, "format": null, "kms_id": null, "kms_provider": null, "kms_key": null,
                "policy": null, "policy_uid": null, "policy_revision": null, "policy_lineage": null, "cause": null,
                "plaintext_bytes": self.len, "stored_bytes": self.len, "parts": null, "multipart": null,
                "bucket": null, "key": null, "sealed_at": null, "writer": null,
            }));
        };
        let record = self.kek_record()?;
        let header = footer.header();
        let policy = header.policy();
        let sealed_at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(header.sealed_at_ms()) * 1_000_000);
        Ok(json!({
            "encrypted": true,
            "verified": false,
            "format": FORMAT,
            "kms_id": header.kms_id(),
            "kms_provider": record.provider(),
            "kms_key": record.key_text(),
            "policy": policy.map(|policy| &policy.name),
            "policy_uid": policy.map(|policy| Uuid::from_bytes(policy.uid)),
            "policy_revision": policy.map(|policy| policy.revision),
            "policy_lineage": policy.map(|policy| Uuid::from_bytes(policy.lineage)),
            "cause": header.cause().as_str(),
            "plaintext_bytes": footer.plaintext_len(),
            "stored_bytes": self.len,
            "parts": footer.part_count(),
            "multipart": header.is_multipart(),
            "bucket": String::from_utf8_lossy(footer.place().bucket()),
            "key": String::from_utf8_lossy(footer.place().key()),
            "sealed_at": sealed_at.ok().and_then(|at| at.format(&Rfc3339).ok()),
            "writer": header.writer(),
        }))
    }
}

fn suffix(file: &mut File, len: u64, wanted: u64) -> std::io::Result<Result<FooterRead, FormatError>> {
    let from = len.saturating_sub(wanted);
    let bytes = read_at(file, from, len - from)?;
    Ok(Footer::parse(&bytes, len))
}

fn read_at(file: &mut File, from: u64, count: u64) -> std::io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(count).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == count { Ok(bytes) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
}

//! `sealgate kms`: the key management services of a gateway group.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use kms::{Passphrase, RsaKey};
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::args::{KeyArgs, KmsAdd, KmsCommand};
use crate::failure::{Context, Failure};
use crate::output::{Output, fields, table};
use crate::target::Targets;

/// Longest PEM that is read: an encrypted key of 8,192 bits has some 7 KiB.
const MAX_PEM: u64 = 64 * 1024;

const COLUMNS: [&str; 7] = ["id", "provider", "state", "active", "key_versions", "known_objects", "error"];

/// Carries the command out.
pub(crate) async fn run(command: KmsCommand, targets: &Targets, out: &Output) -> Result<ExitCode, Failure> {
    let gateway = targets.gateway()?;
    let one = |kms: Value| out.print(&kms, |kms| table(&json!([kms]), &COLUMNS));
    match command {
        KmsCommand::List => {
            let all = gateway.get(&["kms"], &[]).await?;
            out.print(&all, |all| table(&all["kms"], &COLUMNS));
        }
        KmsCommand::Add(KmsAdd::Rsa { id, key, activate }) => {
            let secrets = Secrets::read(&key)?;
            let order = KeyOrder { id: Some(&id), provider: Some(kms::RSA), activate, ..secrets.order()? };
            one(gateway.post_secret(&["kms"], order.encode()?).await?);
        }
        KmsCommand::Activate { id } => one(gateway.post(&["kms", &id, "activate"], &json!({})).await?),
        KmsCommand::Rotate { id, key } => {
            let order = Secrets::read(&key)?.order()?.encode()?;
            one(gateway.post_secret(&["kms", &id, "rotate"], order).await?);
        }
        KmsCommand::Remove { id, confirm } => {
            let query = [("confirm", confirm.as_str())];
            let removed = gateway.call(Method::DELETE, &["kms", &id], &query, None, None).await?.body;
            out.print(&removed, fields);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A key and its passphrase as they were read; wiped when dropped.
struct Secrets {
    pem: Zeroizing<Vec<u8>>,
    passphrase: Option<Zeroizing<Vec<u8>>>,
    /// For messages.
    files: [PathBuf; 2],
}

impl Secrets {
    fn read(key: &KeyArgs) -> Result<Self, Failure> {
        let passphrase = key.passphrase_file.as_deref();
        Ok(Self {
            pem: read_secret(&key.file, MAX_PEM)?,
            passphrase: passphrase.map(|path| read_secret(path, max_passphrase_file())).transpose()?,
            files: [key.file.clone(), passphrase.unwrap_or(Path::new("")).to_owned()],
        })
    }

    /// The part of an order that holds the key. The line break of a passphrase file is no part of the passphrase.
    fn order(&self) -> Result<KeyOrder<'_>, Failure> {
        let text =
            |bytes, path: &Path| std::str::from_utf8(bytes).or_refuse(|| format!("{} is not text", path.display()));
        let passphrase = self.passphrase.as_ref().map(|all| {
            let line = all.strip_suffix(b"\n").unwrap_or(all);
            let line = line.strip_suffix(b"\r").filter(|_| line.len() < all.len()).unwrap_or(line);
            text(line, &self.files[1])
        });
        let pem = text(&self.pem, &self.files[0])?;
        Ok(KeyOrder { id: None, provider: None, pem, passphrase: passphrase.transpose()?, activate: false })
    }
}

/// What a gateway is told of a key.
#[derive(Serialize)]
pub(crate) struct KeyOrder<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) provider: Option<&'a str>,
    pub(crate) pem: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) passphrase: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) activate: bool,
}

impl KeyOrder<'_> {
    /// As JSON that is wiped when dropped. The buffer is never grown, which would leave a copy of the key behind.
    pub(crate) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        // A character becomes six at most, as `\u000a` does.
        let most = 6 * (self.pem.len() + self.passphrase.map_or(0, str::len) + self.id.map_or(0, str::len)) + 256;
        let mut bytes = Zeroizing::new(Vec::with_capacity(most));
        serde_json::to_writer(&mut *bytes, self).or_refuse(|| "the key cannot be coded".to_owned())?;
        Ok(bytes)
    }
}

/// An RSA key from files, for what is done without a service.
pub(crate) fn read_rsa_key(pem: &Path, passphrase_file: Option<&Path>) -> Result<RsaKey, Failure> {
    let text = read_secret(pem, MAX_PEM)?;
    let passphrase = passphrase_file
        .map(|path| read_secret(path, max_passphrase_file()).map(|bytes| Passphrase::from_file(bytes.to_vec())))
        .transpose()?;
    RsaKey::from_pem(&text, passphrase.as_ref()).or_refuse(|| format!("{} cannot be used", pem.display()))
}

/// The longest passphrase and its line break.
fn max_passphrase_file() -> u64 {
    Passphrase::MAX as u64 + 2
}

/// A whole file of at most `max` bytes, wiped when dropped.
fn read_secret(path: &Path, max: u64) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let refused = || format!("{} cannot be read", path.display());
    let file = std::fs::File::open(path).or_refuse(refused)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(max).unwrap_or(0) + 1));
    file.take(max + 1).read_to_end(&mut bytes).or_refuse(refused)?;
    if bytes.len() as u64 > max {
        return Err(Failure::refused(format!("{} is longer than {max} bytes", path.display())));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_says_what_is_asked_and_its_buffer_is_never_grown() {
        let order =
            KeyOrder { id: Some("main"), provider: Some(kms::RSA), pem: "a\nb", passphrase: None, activate: true };
        let body = order.encode().expect("JSON");
        let read: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(read, json!({ "id": "main", "provider": "rsa", "pem": "a\nb", "activate": true }));
        let worst = "\u{1}".repeat(10_000);
        let order = KeyOrder { passphrase: Some(&worst), pem: &worst, ..order };
        let body = order.encode().expect("JSON");
        assert!(
            body.len() > 6 * 20_000 && body.capacity() == 6 * 20_004 + 256,
            "{} of {}",
            body.len(),
            body.capacity()
        );
    }

    #[test]
    fn the_line_break_of_a_passphrase_file_is_no_part_of_the_passphrase() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, passphrase) = (folder.path().join("key"), folder.path().join("passphrase"));
        std::fs::write(&file, "PEM").expect("written");
        for (content, expected) in
            [("a b\r\n", "a b"), ("a b\n", "a b"), ("a b", "a b"), ("a\r", "a\r"), ("a\n\n", "a\n")]
        {
            std::fs::write(&passphrase, content).expect("written");
            let secrets = Secrets::read(&KeyArgs { file: file.clone(), passphrase_file: Some(passphrase.clone()) });
            let body = secrets.expect("read").order().expect("text").encode().expect("JSON");
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(body, json!({ "pem": "PEM", "passphrase": expected }), "{content:?}");
        }
    }
}

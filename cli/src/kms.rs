//! `sealgate kms`: the key management services of a gateway group.

use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use kms::{Passphrase, RsaKey};
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::args::{CopyArgs, KeyArgs, KmsAdd, KmsCommand};
use crate::audit::folder_of;
use crate::client::Client;
use crate::failure::{Context, Failure};
use crate::object::nameless::Nameless;
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
            out.print(&all, |all| table(&all["kms"], &COLUMNS))?;
        }
        KmsCommand::Add(KmsAdd::Rsa { id, key, activate }) => {
            let secrets = Secrets::read(&key)?;
            let order = KeyOrder { id: Some(&id), provider: Some(kms::RSA), activate, ..secrets.order()? };
            one(gateway.post_secret(&["kms"], order.encode()?).await?)?;
        }
        KmsCommand::Activate { id } => one(gateway.post(&["kms", &id, "activate"], &json!({})).await?)?,
        KmsCommand::Rotate { id, file: Some(file), copy, .. } => {
            let key = KeyArgs { file, passphrase_file: copy.passphrase_file };
            let order = Secrets::read(&key)?.order()?.encode()?;
            one(gateway.post_secret(&["kms", &id, "rotate"], order).await?)?;
        }
        KmsCommand::Rotate { id, generate, copy, .. } => {
            let order = MadeOrder { generate, ..MadeOrder::default() };
            make(&gateway, &["kms", &id, "rotate"], order, &copy, out).await?;
        }
        KmsCommand::Generate { id, bits, activate, copy } => {
            let order = MadeOrder { id: Some(&id), bits: Some(bits), activate, ..MadeOrder::default() };
            make(&gateway, &["kms", "generate"], order, &copy, out).await?;
        }
        KmsCommand::Copy { id, fingerprint, output, passphrase_file, reason } => {
            must_be_free(&output)?;
            let number = version(&gateway, &id, fingerprint.as_deref()).await?;
            let passphrase = read_passphrase(&passphrase_file)?;
            let wanted = Wanted { passphrase: text(&passphrase, &passphrase_file)?, reason: &reason };
            let order = encode(&wanted, passphrase.len() + reason.len())?;
            let mut copy = gateway.post_secret(&["kms", &id, "keys", &number, "copy"], order).await?;
            write_copy(&mut copy, &output)?;
            out.print(&copy, fields)?;
        }
        KmsCommand::BackedUp { id, fingerprint } => {
            let number = version(&gateway, &id, Some(&fingerprint)).await?;
            let kept = json!({ "key": fingerprint });
            one(gateway.post(&["kms", &id, "keys", &number, "backup"], &kept).await?)?;
        }
        KmsCommand::Remove { id, confirm } => {
            let query = [("confirm", confirm.as_str())];
            let removed = gateway.call(Method::DELETE, &["kms", &id], &query, None, None).await?.body;
            out.print(&removed, fields)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Has a key made in place, and writes the copy of it where one is wanted.
async fn make(
    gateway: &Client,
    path: &[&str],
    order: MadeOrder<'_>,
    copy: &CopyArgs,
    out: &Output,
) -> Result<(), Failure> {
    let passphrase = match (&copy.copy, &copy.passphrase_file) {
        (Some(output), Some(file)) => {
            must_be_free(output)?;
            Some((read_passphrase(file)?, file))
        }
        (None, Some(_)) => {
            return Err(Failure::Usage(
                "a key that is made has a passphrase for its copy only: give --copy".to_owned(),
            ));
        }
        _ => None,
    };
    let copy_passphrase = passphrase.as_ref().map(|(bytes, file)| text(bytes, file)).transpose()?;
    let order = MadeOrder { copy_passphrase, ..order };
    let order = encode(&order, copy_passphrase.map_or(0, str::len) + order.id.map_or(0, str::len))?;
    let mut made = gateway.post_secret(path, order).await?;
    if let Some(output) = &copy.copy {
        let kept = || "the key is made, and its copy is not kept; `sealgate kms copy` gives another".to_owned();
        write_copy(&mut made["copy"], output)
            .map_err(|failed| Failure::refused(format!("{}: {}", kept(), failed.text())))?;
    }
    out.print(&made, |made| {
        let keys = table(&made["keys"], &["number", "key", "bits", "made_here"]);
        let copy = made["copy"]["output"].as_str().map_or(String::new(), |path| format!("\ncopy  {path}\n"));
        format!("{}\n{keys}{copy}", table(&json!([made]), &COLUMNS))
    })
}

/// Puts the PEM of a copy into a file that its owner alone reads, and the file's name in its place.
fn write_copy(copy: &mut Value, output: &Path) -> Result<(), Failure> {
    let written = || format!("{} cannot be written", output.display());
    let Some(pem) = copy.get("pem").and_then(Value::as_str) else {
        return Err(Failure::refused("the gateway answered without a copy of the key"));
    };
    let mut file = Nameless::new(&folder_of(output)).or_refuse(written)?;
    file.write_all(pem.as_bytes()).and_then(|()| file.name(output)).or_refuse(written)?;
    *copy = json!({ "key": copy["key"], "output": output.display().to_string() });
    Ok(())
}

fn must_be_free(output: &Path) -> Result<(), Failure> {
    match output.symlink_metadata() {
        Ok(_) => Err(Failure::refused(format!("{} exists; nothing was done", output.display()))),
        Err(_) => Ok(()),
    }
}

/// The number of a KMS's key of this fingerprint; of the active one where none is named.
async fn version(gateway: &Client, id: &str, fingerprint: Option<&str>) -> Result<String, Failure> {
    let kms = gateway.get(&["kms", id], &[]).await?;
    let keys = kms["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = keys.iter().find(|key| match fingerprint {
        Some(fingerprint) => key["key"].as_str() == Some(fingerprint),
        None => key["active"] == json!(true),
    });
    let missing = || format!("KMS {id} has no key {}", fingerprint.unwrap_or("that is active"));
    found.map(|key| key["number"].to_string()).ok_or_else(|| Failure::refused(missing()))
}

/// What a gateway is told of a key that it is to make.
#[derive(Default, Serialize)]
struct MadeOrder<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bits: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generate: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    copy_passphrase: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    activate: bool,
}

/// What a gateway is told when a copy is wanted.
#[derive(Serialize)]
struct Wanted<'a> {
    passphrase: &'a str,
    reason: &'a str,
}

/// As JSON that is wiped when dropped; `texts`: how many bytes its texts have. The buffer is never grown, which would
/// leave a copy of a secret behind.
fn encode(order: &impl Serialize, texts: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // A character becomes six at most, as `\u000a` does.
    let mut bytes = Zeroizing::new(Vec::with_capacity(6 * texts + 256));
    serde_json::to_writer(&mut *bytes, order).or_refuse(|| "the order cannot be coded".to_owned())?;
    Ok(bytes)
}

/// The passphrase of a file: its line break is no part of it.
fn read_passphrase(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut bytes = read_secret(path, max_passphrase_file())?;
    let length = line(&bytes).len();
    bytes.truncate(length);
    Ok(bytes)
}

/// The bytes without one final line break.
fn line(all: &[u8]) -> &[u8] {
    let line = all.strip_suffix(b"\n").unwrap_or(all);
    line.strip_suffix(b"\r").filter(|_| line.len() < all.len()).unwrap_or(line)
}

fn text<'a>(bytes: &'a [u8], path: &Path) -> Result<&'a str, Failure> {
    std::str::from_utf8(bytes).or_refuse(|| format!("{} is not text", path.display()))
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
            passphrase: passphrase.map(read_passphrase).transpose()?,
            files: [key.file.clone(), passphrase.unwrap_or(Path::new("")).to_owned()],
        })
    }

    /// The part of an order that holds the key.
    fn order(&self) -> Result<KeyOrder<'_>, Failure> {
        let passphrase = self.passphrase.as_ref().map(|line| text(line, &self.files[1]));
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
    /// As JSON that is wiped when dropped.
    pub(crate) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        encode(self, self.pem.len() + self.passphrase.map_or(0, str::len) + self.id.map_or(0, str::len))
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

//! `sealgate kms`: the key management services of a gateway group.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use kms::{Passphrase, RsaKey};
use reqwest::Method;
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
            let mut body = key_body(&key)?;
            body["id"] = json!(id);
            body["provider"] = json!(kms::RSA);
            if activate {
                body["activate"] = json!(true);
            }
            one(gateway.post(&["kms"], &body).await?);
        }
        KmsCommand::Activate { id } => one(gateway.post(&["kms", &id, "activate"], &json!({})).await?),
        KmsCommand::Rotate { id, key } => one(gateway.post(&["kms", &id, "rotate"], &key_body(&key)?).await?),
        KmsCommand::Remove { id, confirm } => {
            let query = [("confirm", confirm.as_str())];
            let removed = gateway.call(Method::DELETE, &["kms", &id], &query, None, None).await?.body;
            out.print(&removed, fields);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The part of a request that holds the key.
fn key_body(key: &KeyArgs) -> Result<Value, Failure> {
    let pem = read_secret(&key.file, MAX_PEM)?;
    let text = |bytes: &[u8], path: &Path| {
        std::str::from_utf8(bytes).map(str::to_owned).or_refuse(|| format!("{} is not text", path.display()))
    };
    let mut body = json!({ "pem": text(&pem, &key.file)? });
    if let Some(path) = &key.passphrase_file {
        let passphrase = read_secret(path, max_passphrase_file())?;
        let line = passphrase.strip_suffix(b"\n").unwrap_or(&passphrase);
        let line = line.strip_suffix(b"\r").filter(|_| line.len() < passphrase.len()).unwrap_or(line);
        body["passphrase"] = json!(text(line, path)?);
    }
    Ok(body)
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
    fn the_line_break_of_a_passphrase_file_is_no_part_of_the_passphrase() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, passphrase) = (folder.path().join("key"), folder.path().join("passphrase"));
        std::fs::write(&file, "PEM").expect("written");
        for (content, expected) in
            [("a b\r\n", "a b"), ("a b\n", "a b"), ("a b", "a b"), ("a\r", "a\r"), ("a\n\n", "a\n")]
        {
            std::fs::write(&passphrase, content).expect("written");
            let body = key_body(&KeyArgs { file: file.clone(), passphrase_file: Some(passphrase.clone()) });
            assert_eq!(body.expect("read"), json!({ "pem": "PEM", "passphrase": expected }), "{content:?}");
        }
    }
}

//! From what operators keep in files to one checked RSA key in PKCS#8, and back.
//!
//! Read are PKCS#1 (`RSA PRIVATE KEY`), PKCS#8 (`PRIVATE KEY`) and encrypted PKCS#8 (`ENCRYPTED PRIVATE KEY`, PBES2 with
//! PBKDF2 or scrypt). Text around the blocks and other blocks beside the key, such as its certificate, do no harm.
//! Written is encrypted PKCS#8 alone: PBES2 with PBKDF2 (HMAC-SHA-256) and AES-256-CBC, which every OpenSSL since 1.0 reads.

use base64::Engine as _;
use pkcs8::der::Decode as _;
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::pem::LineEnding;
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::{Kdf, Parameters};
use pkcs8::{EncryptedPrivateKeyInfo, EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, SecretDocument};
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use zeroize::Zeroizing;

use crate::error::KeyError;
use crate::secret::Passphrase;

/// The longest file that is read: a key of 8192 bits with a long certificate chain beside it.
const MAX_PEM: usize = 64 * 1024;
/// Costs beyond these stem from no honest tool, and would keep a core busy for minutes.
const MAX_PBKDF2_ROUNDS: u32 = 10_000_000;
const MAX_SCRYPT_BYTES: u64 = 1 << 30;
/// What OWASP asks of PBKDF2 with HMAC-SHA-256 (Password Storage Cheat Sheet).
const PBKDF2_ROUNDS: u32 = 600_000;

/// The RSA private key in the first private-key block of `pem`.
pub(crate) fn read(pem: &[u8], passphrase: Option<&Passphrase>) -> Result<rsa::PrivateKey, KeyError> {
    if pem.len() > MAX_PEM {
        return Err(KeyError::TooLong(pem.len()));
    }
    let mut refusal = KeyError::NotPem;
    let mut rest = pem;
    while let Some(Block { label, body, after }) = next_block(rest)? {
        rest = after;
        match label {
            "RSA PRIVATE KEY" if is_legacy_encrypted(body) => return Err(KeyError::LegacyEncryption),
            "RSA PRIVATE KEY" => return pkcs1(&base64(label, body)?),
            "PRIVATE KEY" => return pkcs8(&base64(label, body)?),
            "ENCRYPTED PRIVATE KEY" => return encrypted(&base64(label, body)?, passphrase),
            // A parameter block goes before the EC key that says the same more clearly.
            "EC PRIVATE KEY" | "EC PARAMETERS" => refusal = KeyError::OtherAlgorithm("EC".into()),
            "DSA PRIVATE KEY" => refusal = KeyError::OtherAlgorithm("DSA".into()),
            "OPENSSH PRIVATE KEY" => refusal = KeyError::OtherAlgorithm("OpenSSH-format".into()),
            "PUBLIC KEY" | "RSA PUBLIC KEY" => refusal = KeyError::Public("public key"),
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => refusal = KeyError::Public("certificate"),
            other => refusal = KeyError::OtherBlock(other.chars().take(80).collect()),
        }
    }
    Err(refusal)
}

/// A key in PKCS#8 as PEM that only the passphrase opens, by [`read`] and by OpenSSL.
pub(crate) fn write(pkcs8: &[u8], passphrase: &Passphrase) -> Result<Zeroizing<String>, KeyError> {
    let length = passphrase.expose().len();
    if !(Passphrase::MIN..=Passphrase::MAX).contains(&length) {
        return Err(KeyError::Passphrase(length));
    }
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    for random in [&mut salt, &mut iv] {
        aws_lc_rs::rand::fill(random).map_err(|_| KeyError::Crypto("no randomness"))?;
    }
    let failed = |_| KeyError::Crypto("encrypting a key");
    let scheme = Parameters::generate_pbkdf2_sha256_aes256cbc(PBKDF2_ROUNDS, &salt, iv).map_err(failed)?;
    let sealed = scheme.encrypt(passphrase.expose(), pkcs8).map_err(failed)?;
    let failed = |_| KeyError::Crypto("encoding PEM");
    let info = EncryptedPrivateKeyInfo {
        encryption_algorithm: scheme.into(),
        encrypted_data: OctetStringRef::new(&sealed).map_err(failed)?,
    };
    let document = SecretDocument::encode_msg(&info).map_err(failed)?;
    document.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).map_err(failed)
}

/// One PEM block, and what follows it in the file.
struct Block<'a> {
    label: &'a str,
    body: &'a [u8],
    after: &'a [u8],
}

/// The next block; `None` where no block begins.
fn next_block(text: &[u8]) -> Result<Option<Block<'_>>, KeyError> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    const DASHES: &[u8] = b"-----";
    let Some(start) = find(text, BEGIN) else { return Ok(None) };
    let damaged = |label: &[u8]| KeyError::DamagedPem(String::from_utf8_lossy(label).chars().take(80).collect());
    let text = &text[start + BEGIN.len()..];
    let end = find(text, DASHES).filter(|end| *end <= 80).ok_or_else(|| damaged(b"BEGIN"))?;
    let label = std::str::from_utf8(&text[..end]).map_err(|_| damaged(&text[..end]))?;
    let text = &text[end + DASHES.len()..];
    let footer = format!("-----END {label}-----");
    let end = find(text, footer.as_bytes()).ok_or_else(|| damaged(label.as_bytes()))?;
    Ok(Some(Block { label, body: &text[..end], after: &text[end + footer.len()..] }))
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn is_legacy_encrypted(body: &[u8]) -> bool {
    find(body, b"Proc-Type:").is_some() || find(body, b"DEK-Info:").is_some()
}

fn base64(label: &str, body: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let compact: Zeroizing<Vec<u8>> =
        Zeroizing::new(body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect());
    let mut der = Zeroizing::new(vec![0; compact.len()]);
    let length = base64::engine::general_purpose::STANDARD
        .decode_slice(&compact[..], &mut der)
        .map_err(|_| KeyError::DamagedPem(label.to_owned()))?;
    der.truncate(length);
    Ok(der)
}

fn pkcs1(der: &[u8]) -> Result<rsa::PrivateKey, KeyError> {
    let parsed =
        rsa::pkcs1::RsaPrivateKeyRef::from_der(der).map_err(|_| KeyError::DamagedPem("RSA PRIVATE KEY".into()))?;
    if parsed.version() != rsa::pkcs1::Version::TwoPrime {
        return Err(KeyError::Unsound("it has more than two primes"));
    }
    // Before the arithmetic, whose cost grows with the cube of the size.
    let modulus = parsed.modulus.as_bytes();
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    let bits = u32::try_from(bits).unwrap_or(u32::MAX);
    if !crate::rsa::RSA_BITS.contains(&bits) {
        return Err(KeyError::Size(bits));
    }
    rsa::PrivateKey::from_pkcs1_der(der).map_err(|_| KeyError::Unsound("its numbers do not belong together"))
}

fn pkcs8(der: &[u8]) -> Result<rsa::PrivateKey, KeyError> {
    let info = PrivateKeyInfoRef::from_der(der).map_err(|_| KeyError::DamagedPem("PRIVATE KEY".into()))?;
    if info.algorithm.oid != rsa::pkcs1::ALGORITHM_OID {
        return Err(KeyError::OtherAlgorithm(algorithm(&info.algorithm.oid.to_string())));
    }
    pkcs1(info.private_key.as_bytes())
}

fn algorithm(oid: &str) -> String {
    match oid {
        "1.2.840.10045.2.1" => "EC".into(),
        "1.3.101.112" => "Ed25519".into(),
        "1.3.101.110" => "X25519".into(),
        "1.2.840.10040.4.1" => "DSA".into(),
        "1.2.840.113549.1.1.10" => "RSA-PSS (signature only)".into(),
        other => format!("private key of algorithm {other}, not an RSA"),
    }
}

fn encrypted(der: &[u8], passphrase: Option<&Passphrase>) -> Result<rsa::PrivateKey, KeyError> {
    let info = EncryptedPrivateKeyInfoRef::from_der(der).map_err(|_| {
        // An algorithm that the parser does not know looks like damage; the outer structure tells them apart.
        if looks_like_encrypted(der) {
            KeyError::UnsupportedEncryption("PBES1 or unknown".into())
        } else {
            KeyError::DamagedPem("ENCRYPTED PRIVATE KEY".into())
        }
    })?;
    let EncryptionScheme::Pbes2(parameters) = &info.encryption_algorithm else {
        return Err(KeyError::UnsupportedEncryption("PBES1 or unknown".into()));
    };
    match &parameters.kdf {
        Kdf::Pbkdf2(kdf) if kdf.iteration_count > MAX_PBKDF2_ROUNDS => {
            return Err(KeyError::UnsupportedEncryption(format!("{} rounds of PBKDF2", kdf.iteration_count)));
        }
        Kdf::Scrypt(kdf) => {
            let memory = kdf.cost_parameter.saturating_mul(u64::from(kdf.block_size)).saturating_mul(128);
            let work = memory.saturating_mul(u64::from(kdf.parallelization));
            if work > MAX_SCRYPT_BYTES {
                return Err(KeyError::UnsupportedEncryption(format!("scrypt over {work} bytes")));
            }
        }
        _ => {}
    }
    let passphrase = passphrase.ok_or(KeyError::PassphraseNeeded)?;
    if passphrase.expose().len() > Passphrase::MAX {
        return Err(KeyError::WrongPassphrase);
    }
    let clear = info.decrypt(passphrase.expose()).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(
            pkcs8::pkcs5::Error::UnsupportedAlgorithm { oid } | pkcs8::pkcs5::Error::AlgorithmParametersInvalid { oid },
        ) => KeyError::UnsupportedEncryption(oid.to_string()),
        // One in 256 wrong passphrases leaves a valid padding, and then what comes out is no DER.
        _ => KeyError::WrongPassphrase,
    })?;
    match pkcs8(clear.as_bytes()) {
        Err(KeyError::DamagedPem(_)) => Err(KeyError::WrongPassphrase),
        other => other,
    }
}

/// SEQUENCE { SEQUENCE { OID …
fn looks_like_encrypted(der: &[u8]) -> bool {
    let inside = |der: &[u8], tag: u8| -> Option<usize> {
        (*der.first()? == tag).then_some(())?;
        let length = *der.get(1)?;
        Some(if length < 0x80 { 2 } else { 2 + usize::from(length & 0x7f) })
    };
    let check = || -> Option<bool> {
        let outer = inside(der, 0x30)?;
        let inner = outer + inside(der.get(outer..)?, 0x30)?;
        Some(*der.get(inner)? == 0x06)
    };
    check().unwrap_or(false)
}

#[cfg(test)]
mod tests;

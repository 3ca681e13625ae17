use super::*;
use crate::rsa::RsaKey;

macro_rules! zoo {
    ($name:literal) => {
        &include_bytes!(concat!("zoo/", $name, ".pem"))[..]
    };
}

/// `openssl rsa -in pkcs1.pem -pubout -outform DER | sha256sum`
const FINGERPRINT: &str = "sha256:10e8e85b6e780589932fb4b1f7fa8a650bd7a2fa9f457469442ae10e9e1b491a";

fn passphrase() -> Passphrase {
    Passphrase::from_file(b"open-sesame\n".to_vec())
}

fn refusal(pem: &[u8], passphrase: Option<&Passphrase>) -> KeyError {
    RsaKey::from_pem(pem, passphrase).err().expect("must be refused")
}

#[test]
fn every_supported_form_gives_the_same_key_with_the_fingerprint_that_openssl_computes() {
    for pem in [zoo!("pkcs1"), zoo!("pkcs8")] {
        assert_eq!(RsaKey::from_pem(pem, None).expect("reads").fingerprint().to_string(), FINGERPRINT);
    }
    for pem in [zoo!("pkcs8-aes256-pbkdf2"), zoo!("pkcs8-aes128-sha512"), zoo!("pkcs8-scrypt"), zoo!("pkcs8-des3-sha1")]
    {
        let key = RsaKey::from_pem(pem, Some(&passphrase())).expect("reads");
        assert_eq!(key.fingerprint().to_string(), FINGERPRINT);
        assert_eq!(key.bits(), 2048);
    }
}

#[test]
fn a_key_of_8192_bits_is_accepted_and_one_of_1024_is_not() {
    assert_eq!(RsaKey::from_pem(zoo!("large-8192"), None).expect("reads").bits(), 8192);
    assert_eq!(refusal(zoo!("small-1024"), None), KeyError::Size(1024));
}

#[test]
fn an_unused_passphrase_does_no_harm_and_a_missing_or_wrong_one_is_told() {
    assert!(RsaKey::from_pem(zoo!("pkcs8"), Some(&passphrase())).is_ok());
    assert_eq!(refusal(zoo!("pkcs8-aes256-pbkdf2"), None), KeyError::PassphraseNeeded);
    for wrong in 0..40_u8 {
        let wrong = Passphrase::new(vec![wrong; 9]);
        assert_eq!(refusal(zoo!("pkcs8-des3-sha1"), Some(&wrong)), KeyError::WrongPassphrase);
    }
    let long = Passphrase::new(vec![b'x'; Passphrase::MAX + 1]);
    assert_eq!(refusal(zoo!("pkcs8-scrypt"), Some(&long)), KeyError::WrongPassphrase);
}

#[test]
fn what_is_not_an_rsa_private_key_is_called_by_its_name() {
    assert_eq!(refusal(zoo!("legacy"), Some(&passphrase())), KeyError::LegacyEncryption);
    assert_eq!(refusal(zoo!("public"), None), KeyError::Public("public key"));
    assert_eq!(refusal(zoo!("public-pkcs1"), None), KeyError::Public("public key"));
    assert_eq!(refusal(zoo!("certificate"), None), KeyError::Public("certificate"));
    assert_eq!(refusal(zoo!("ec"), None), KeyError::OtherAlgorithm("EC".into()));
    assert_eq!(refusal(zoo!("ec-pkcs8"), None), KeyError::OtherAlgorithm("EC".into()));
    assert_eq!(refusal(zoo!("ed25519"), None), KeyError::OtherAlgorithm("Ed25519".into()));
    assert_eq!(refusal(zoo!("rsa-pss"), None), KeyError::OtherAlgorithm("RSA-PSS (signature only)".into()));
    assert_eq!(refusal(zoo!("three-primes"), None), KeyError::Unsound("it has more than two primes"));
    assert_eq!(
        refusal(zoo!("pkcs8-pbes1"), Some(&passphrase())),
        KeyError::UnsupportedEncryption("PBES1 or unknown".into())
    );
}

#[test]
fn a_key_beside_its_certificate_and_notes_is_found() {
    let bundle = [b"Bag Attributes\r\n  friendlyName: x\r\n", zoo!("certificate"), b"\nkey:\n", zoo!("pkcs1")].concat();
    assert_eq!(RsaKey::from_pem(&bundle, None).expect("reads").fingerprint().to_string(), FINGERPRINT);
    let windows = String::from_utf8(zoo!("pkcs8").to_vec()).expect("text").replace('\n', "\r\n");
    assert_eq!(RsaKey::from_pem(windows.as_bytes(), None).expect("reads").fingerprint().to_string(), FINGERPRINT);
}

#[test]
fn garbage_is_refused_without_panic_and_without_showing_it() {
    assert_eq!(refusal(b"", None), KeyError::NotPem);
    assert_eq!(refusal(b"hello", None), KeyError::NotPem);
    assert_eq!(refusal(&vec![0; MAX_PEM + 1], None), KeyError::TooLong(MAX_PEM + 1));
    assert_eq!(refusal(b"-----BEGIN ", None), KeyError::DamagedPem("BEGIN".into()));
    let unended = KeyError::DamagedPem("PRIVATE KEY".into());
    assert_eq!(refusal(b"-----BEGIN PRIVATE KEY-----\nAAAA", None), unended);
    assert_eq!(refusal(b"-----BEGIN PRIVATE KEY-----\n!!\n-----END PRIVATE KEY-----", None), unended);
    assert_eq!(refusal(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", None), unended);
    let other = refusal(b"-----BEGIN X9.42 DH PARAMETERS-----\nAAAA\n-----END X9.42 DH PARAMETERS-----", None);
    assert_eq!(other, KeyError::OtherBlock("X9.42 DH PARAMETERS".into()));
}

#[test]
fn every_truncation_of_a_key_is_refused() {
    let pem = zoo!("pkcs1");
    for end in (0..pem.len() - 2).step_by(7) {
        assert!(RsaKey::from_pem(&pem[..end], None).is_err(), "cut at {end}");
    }
}

#[test]
fn a_key_whose_numbers_were_changed_is_unsound() {
    use base64::engine::general_purpose::STANDARD;
    let der = base64("RSA PRIVATE KEY", next_block(zoo!("pkcs1")).expect("reads").expect("one").body).expect("decodes");
    // In the modulus, the private exponent and the first prime of a 2048-bit key.
    for at in [100, 400, 650] {
        let mut changed = der.clone();
        changed[at] ^= 0x10;
        let pem = format!(
            "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
            STANDARD.encode(&changed[..])
        );
        assert_eq!(refusal(pem.as_bytes(), None), KeyError::Unsound("its numbers do not belong together"), "{at}");
    }
}

#[test]
fn an_encryption_that_would_keep_a_core_busy_for_minutes_is_refused_before_it_starts() {
    use base64::engine::general_purpose::STANDARD;
    let block = next_block(zoo!("pkcs8-aes256-pbkdf2")).expect("reads").expect("one").body;
    let mut der = base64("ENCRYPTED PRIVATE KEY", block).expect("decodes");
    // INTEGER 2048 (02 02 08 00), the rounds of OpenSSL, becomes another field of two more bytes.
    let at = find(&der, &[0x02, 0x02, 0x08, 0x00]).expect("the rounds");
    let long = [&der[..at], &[0x02, 0x04, 0x7f, 0xff, 0xff, 0xff], &der[at + 4..]].concat();
    *der = long;
    // The lengths of the four sequences around it: outer (two bytes), algorithm, parameters, KDF, KDF parameters.
    der[3] += 2;
    for (tag, length) in (4..at).map(|i| (i, i + 1)).collect::<Vec<_>>() {
        let inside = usize::from(der[length]);
        if der[tag] == 0x30 && tag + 2 + inside >= at && inside < 0x80 {
            der[length] += 2;
        }
    }
    let body = STANDARD.encode(&der[..]);
    let pem = format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{body}\n-----END ENCRYPTED PRIVATE KEY-----");
    let refused = refusal(pem.as_bytes(), Some(&passphrase()));
    assert_eq!(refused, KeyError::UnsupportedEncryption("2147483647 rounds of PBKDF2".into()));
}

#[test]
fn a_copy_of_a_key_opens_with_its_passphrase_alone_and_never_says_the_same_twice() {
    let key = RsaKey::from_pem(zoo!("pkcs1"), None).expect("reads");
    let passphrase = Passphrase::new("twelve bytes and a \u{fc}".into());
    let copy = key.to_encrypted_pem(&passphrase).expect("writes");
    assert!(copy.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), "{}", &copy[..40]);
    let read = RsaKey::from_pem(copy.as_bytes(), Some(&passphrase)).expect("reads");
    assert_eq!(read.fingerprint().to_string(), FINGERPRINT);
    assert_eq!(refusal(copy.as_bytes(), None), KeyError::PassphraseNeeded);
    let wrong = Passphrase::new(b"twelve bytes and a u".to_vec());
    assert_eq!(refusal(copy.as_bytes(), Some(&wrong)), KeyError::WrongPassphrase);
    assert_ne!(key.to_encrypted_pem(&passphrase).expect("writes"), copy, "the salt is fresh each time");
}

#[test]
fn a_copy_of_a_key_needs_a_passphrase_of_a_certain_length() {
    let key = RsaKey::from_pem(zoo!("pkcs1"), None).expect("reads");
    for length in [0, 11, 1025] {
        let refused = key.to_encrypted_pem(&Passphrase::new(vec![b'x'; length])).err();
        assert_eq!(refused, Some(KeyError::Passphrase(length)));
    }
    for length in [12, 1024] {
        assert!(key.to_encrypted_pem(&Passphrase::new(vec![b'x'; length])).is_ok(), "{length}");
    }
}

use super::*;
use crate::Provider;

const PEM: &[u8] = include_bytes!("../pem/zoo/pkcs1.pem");
const OTHER: &[u8] = include_bytes!("../pem/zoo/other.pem");

fn id(text: &str) -> KmsId {
    text.parse().expect("legal")
}

fn key(pem: &[u8]) -> RsaKey {
    RsaKey::from_pem(pem, None).expect("reads")
}

fn kms() -> RsaKms {
    RsaKms::new(id("prod"), key(PEM), 1_000)
}

fn reparsed(kms: KmsId, key: Vec<u8>, wrapped: Vec<u8>, mac: Vec<u8>) -> KekRecord {
    let built = KekRecord::build(kms, RSA.into(), key, wrapped, mac).expect("within bounds");
    KekRecord::parse(built.as_bytes()).expect("parses")
}

#[test]
fn a_kek_opens_again_from_the_stored_bytes_and_two_keks_differ() {
    let kms = kms();
    let (kek, record) = kms.new_kek().expect("makes");
    let stored = KekRecord::parse(record.as_bytes()).expect("parses");
    assert_eq!(kms.open(&stored).expect("opens").expose(), kek.expose());
    let (another, other_record) = kms.new_kek().expect("makes");
    assert_ne!(another.expose(), kek.expose());
    assert_ne!(other_record, record);
}

/// The record of the KEK 00 01 … 1f of KMS `prod`, written from the description alone with Python's `cryptography`.
#[test]
fn a_record_written_by_an_independent_implementation_opens() {
    let record = hex::decode(include_str!("vector.hex").trim()).expect("hexadecimal");
    let record = KekRecord::parse(&record).expect("parses");
    let expected: Vec<u8> = (0..32).collect();
    assert_eq!(kms().open(&record).expect("opens").expose()[..], expected[..]);
}

#[test]
fn a_record_made_with_the_public_key_alone_does_not_open() {
    let kms = kms();
    let held = &kms.versions[0].key;
    // What a forger has: the public key, the format, and a KEK of his own choice, properly wrapped.
    let mut wrapped = vec![0; held.public.ciphertext_size()];
    held.public.encrypt(&OAEP_SHA256_MGF1SHA256, &[7; 32], &mut wrapped, Some(OAEP_LABEL)).expect("encrypts");
    let fingerprint = held.fingerprint.0.to_vec();
    let from_public = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&fingerprint);
    let guessed: hmac::Key =
        from_public.expand(&[MAC_KEY_LABEL, &fingerprint], hmac::HMAC_SHA256).expect("expands").into();
    let input = mac_input(&id("prod"), RSA, &fingerprint, &wrapped);
    let guess = hmac::sign(&guessed, &input).as_ref().to_vec();
    let (_, genuine) = kms.new_kek().expect("makes");
    for mac in [vec![], vec![0; 32], guess, genuine.mac().to_vec(), genuine.mac()[..16].to_vec()] {
        let forged = reparsed(id("prod"), fingerprint.clone(), wrapped.clone(), mac);
        assert!(matches!(kms.open(&forged), Err(Error::Forged { .. })));
    }
}

#[test]
fn no_single_bit_of_a_record_can_change() {
    let kms = kms();
    let (_, record) = kms.new_kek().expect("makes");
    let bytes = record.as_bytes().to_vec();
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(changed) = KekRecord::parse(&changed) {
            assert!(kms.open(&changed).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn a_record_moved_to_another_kms_id_does_not_open_there() {
    let (_, record) = kms().new_kek().expect("makes");
    let other = RsaKms::new(id("other"), key(PEM), 0);
    assert!(matches!(other.open(&record), Err(Error::OtherKms { .. })));
    let renamed = reparsed(id("other"), record.key().to_vec(), record.wrapped().to_vec(), record.mac().to_vec());
    assert!(matches!(other.open(&renamed), Err(Error::Forged { .. })), "the ID is under the MAC");
}

#[test]
fn the_same_id_with_another_key_is_told_with_both_fingerprints() {
    let (_, record) = kms().new_kek().expect("makes");
    let imposter = RsaKms::new(id("prod"), key(OTHER), 0);
    let message = imposter.open(&record).err().expect("refused").to_string();
    assert!(message.contains(&key(PEM).fingerprint().to_string()), "{message}");
    assert!(message.contains(&key(OTHER).fingerprint().to_string()), "{message}");
}

#[test]
fn the_pem_alone_opens_a_record_of_any_kms_id() {
    let (kek, record) = kms().new_kek().expect("makes");
    assert_eq!(key(PEM).open(&record).expect("opens").expose(), kek.expose());
    let message = key(OTHER).open(&record).err().expect("refused").to_string();
    assert!(message.contains(&record.key_text()) && message.contains(&key(OTHER).fingerprint().to_string()));
}

#[test]
fn a_record_of_another_kind_of_provider_is_refused_by_name() {
    let (_, record) = kms().new_kek().expect("makes");
    let (wrapped, mac) = (record.wrapped().to_vec(), record.mac().to_vec());
    let vault = KekRecord::build(id("prod"), "vault".into(), record.key().to_vec(), wrapped, mac).expect("builds");
    assert!(matches!(kms().open(&vault), Err(Error::OtherProvider { .. })));
    assert!(matches!(key(PEM).open(&vault), Err(Error::OtherProvider { .. })));
}

#[test]
fn after_a_rotation_new_keks_use_the_new_key_and_the_old_ones_still_open() {
    let mut kms = kms();
    let (old, old_record) = kms.new_kek().expect("makes");
    assert_eq!(kms.add(key(OTHER), 2_000), Ok(2));
    let (_, new_record) = kms.new_kek().expect("makes");
    assert_eq!(new_record.key(), key(OTHER).fingerprint().0);
    assert_eq!(kms.open(&old_record).expect("opens").expose(), old.expose());
    let held = kms.inventory().keys;
    assert_eq!(held.iter().map(|key| (key.number, key.active)).collect::<Vec<_>>(), [(1, false), (2, true)]);
    // The first key again becomes active and keeps its number.
    assert_eq!(kms.add(key(PEM), 3_000), Ok(1));
    assert_eq!(kms.inventory().keys.len(), 2);
}

#[test]
fn a_version_goes_only_when_it_is_not_active_and_its_number_never_returns() {
    let mut kms = kms();
    assert_eq!(kms.remove(1), Err(KeyError::Active(1)));
    kms.add(key(OTHER), 0).expect("adds");
    assert_eq!(kms.remove(9), Err(KeyError::NoSuchKey("version 9".into())));
    assert_eq!(kms.remove(1), Ok(key(PEM).fingerprint()));
    assert_eq!(kms.add(key(PEM), 0), Ok(3));
}

#[test]
fn the_state_restores_everything_and_damage_is_found() {
    let mut kms = kms();
    let (kek, record) = kms.new_kek().expect("makes");
    kms.add(key(OTHER), 2_000).expect("adds");
    let state = kms.state();
    let again = RsaKms::from_state(id("prod"), &state).expect("restores");
    assert_eq!(again.inventory(), kms.inventory());
    assert_eq!(again.open(&record).expect("opens").expose(), kek.expose());
    assert_eq!(again.state(), state);
    for end in (0..state.len()).step_by(13) {
        assert!(RsaKms::from_state(id("prod"), &state[..end]).is_err(), "cut at {end}");
    }
    assert!(RsaKms::from_state(id("prod"), &[&state[..], &[0]].concat()).is_err());
    let mut unknown = state.to_vec();
    unknown[1] = 9;
    let told = RsaKms::from_state(id("prod"), &unknown).err().expect("refused");
    assert!(told.to_string().contains("version 9"), "{told}");
}

#[test]
fn a_generated_key_works_and_other_sizes_are_refused() {
    let pem = generate_pem(2048).expect("generates");
    let kms = RsaKms::new(id("made"), key(pem.as_bytes()), 0);
    let (kek, record) = kms.new_kek().expect("makes");
    assert_eq!(kms.open(&record).expect("opens").expose(), kek.expose());
    assert_eq!(RsaKey::generate(2048).expect("generates").bits(), 2048);
    for bits in [0, 1024, 2047, 16384] {
        assert_eq!(RsaKey::generate(bits).err(), Some(KeyError::Size(bits)));
    }
}

#[test]
fn a_record_of_the_largest_key_is_within_its_bound() {
    let kms = RsaKms::new(id(&"x".repeat(64)), key(include_bytes!("../pem/zoo/large-8192.pem")), 0);
    let (kek, record) = kms.new_kek().expect("makes");
    assert!(record.as_bytes().len() < 1200);
    assert_eq!(kms.open(&record).expect("opens").expose(), kek.expose());
}

#[test]
fn the_probe_passes_and_an_unknown_kind_of_provider_is_told() {
    let provider = Provider::Rsa(kms());
    futures_lite(provider.probe()).expect("passes");
    assert_eq!(provider.kind(), "rsa");
    assert!(Provider::from_state(id("prod"), "rsa", &provider.state()).is_ok());
    let told = Provider::from_state(id("prod"), "vault", &[]).err().expect("refused");
    assert!(told.to_string().contains("vault"));
}

/// Runs a future that never waits.
fn futures_lite<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("the built-in provider never waits"),
    }
}

use super::*;

fn authorities() -> Authorities {
    let now = OffsetDateTime::now_utc();
    let make = |generation| Authority::generate(generation, now).expect("an authority").0;
    Authorities { present: make(1), next: make(2), past: Vec::new() }
}

fn csr(key: &KeyPair) -> Vec<u8> {
    let mut params = CertificateParams::new(vec!["evil.example".to_owned()]).expect("a name");
    params.distinguished_name = common_name("11111111-1111-4111-8111-111111111111");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.serialize_request(key).expect("a request").der().to_vec()
}

#[test]
fn nothing_but_the_public_key_of_a_request_reaches_the_certificate() {
    let (authorities, key, gateway) = (authorities(), KeyPair::generate().expect("a key"), GatewayId::random());
    let requested = RequestedKey::from_csr(&csr(&key)).expect("a request");
    let now = OffsetDateTime::now_utc();
    let issued = authorities.issue_client(gateway, &requested, now, Duration::days(7)).expect("a certificate");
    assert_eq!(issued.presented.gateway, gateway);
    assert_eq!(issued.presented.not_after, whole_seconds(now + Duration::days(7)));
    let (_, parsed) = x509_parser::parse_x509_certificate(&issued.chain[0]).expect("X.509");
    assert!(!parsed.is_ca());
    assert_eq!(parsed.subject().to_string(), format!("CN={gateway}"));
    assert_eq!(parsed.public_key().raw, {
        use rcgen::PublicKeyData as _;
        key.subject_public_key_info()
    });
    let usage = parsed.extended_key_usage().expect("one").expect("present").value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    assert!(!format!("{parsed:?}").contains("evil.example"));
}

#[test]
fn a_request_whose_signature_is_wrong_or_whose_key_is_odd_is_refused() {
    let good = csr(&KeyPair::generate().expect("a key"));
    let mut forged = good.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    assert!(RequestedKey::from_csr(&good).is_ok());
    assert!(RequestedKey::from_csr(&forged).is_err(), "the signature proves nothing");
    assert!(RequestedKey::from_csr(&good[..40]).is_err(), "cut off");
    assert!(RequestedKey::from_csr(&vec![0x30; proto::limits::CSR_BYTES + 1]).is_err(), "too long");
    for algorithm in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let requested = RequestedKey::from_csr(&csr(&key)).expect("supported");
        let issued =
            authorities().issue_client(GatewayId::random(), &requested, OffsetDateTime::now_utc(), Duration::days(7));
        assert!(issued.is_ok(), "{algorithm:?}");
    }
}

#[test]
fn an_authority_comes_back_from_its_certificate_and_key() {
    let now = OffsetDateTime::now_utc();
    let (made, secret) = Authority::generate(3, now).expect("an authority");
    let restored = Authority::restore(3, made.certificate.clone(), &secret, made.not_after).expect("restored");
    let authorities =
        Authorities { present: restored, next: Authority::generate(4, now).expect("next").0, past: vec![] };
    let key = KeyPair::generate().expect("a key");
    let requested = RequestedKey::from_csr(&csr(&key)).expect("a request");
    let issued =
        authorities.issue_client(GatewayId::random(), &requested, now, Duration::days(7)).expect("a certificate");
    let (_, parent) = x509_parser::parse_x509_certificate(&made.certificate).expect("X.509");
    let (_, leaf) = x509_parser::parse_x509_certificate(&issued.chain[0]).expect("X.509");
    assert_eq!(leaf.issuer(), parent.subject());
}

#[test]
fn the_standing_of_a_certificate_follows_the_clock() {
    let (authorities, key) = (authorities(), KeyPair::generate().expect("a key"));
    let requested = RequestedKey::from_csr(&csr(&key)).expect("a request");
    let now = OffsetDateTime::now_utc();
    let presented = authorities
        .issue_client(GatewayId::random(), &requested, now, Duration::days(7))
        .expect("a certificate")
        .presented;
    let window = Duration::days(30);
    let at = |offset: Duration| presented.standing(presented.not_after + offset, window);
    assert_eq!(presented.standing(presented.not_before - Duration::SECOND, window), Standing::NotYetValid);
    assert_eq!(at(Duration::ZERO), Standing::Valid);
    assert_eq!(at(Duration::SECOND), Standing::Renewable);
    assert_eq!(at(Duration::days(30)), Standing::Renewable);
    assert_eq!(at(Duration::days(30) + Duration::SECOND), Standing::Expired);
}

#[test]
fn a_certificate_of_central_itself_is_not_a_gateways() {
    let own = authorities().issue_server(&["localhost".to_owned()], OffsetDateTime::now_utc()).expect("an identity");
    assert!(Presented::read(&own.chain[0]).is_err());
    assert!(Presented::read(&own.chain[1]).is_err(), "nor is that of the authority");
}

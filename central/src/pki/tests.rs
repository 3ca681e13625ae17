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

mod over_the_database {
    use super::super::*;
    use crate::rpc::testing::{Central, config, report, seeded};
    use crate::sealing::SealingKey;
    use uuid::Uuid;

    #[tokio::test]
    async fn a_rotation_keeps_every_gateway_connected() {
        let database = seeded().await;
        let central = Central::start(&database.pool).await;
        let old = central.gateway("gateway-1").await;
        sqlx::query(
            "update certificate_authorities set not_after = now() + interval '700 days' where state = 'present'",
        )
        .execute(&database.pool)
        .await
        .expect("nearly over");
        central.services.pki.refresh(&database.pool).await.expect("rotated");
        let authorities = central.services.pki.authorities();
        assert_eq!((authorities.present.generation, authorities.next.generation, authorities.past.len()), (2, 3, 1));
        // The old certificate is good, and the listener's new one is by the authority that was the next.
        let series = Uuid::new_v4();
        old.at(central.address).report(&report(series, 1, 1, 1)).await.expect("served");
        let renewed = old.renew().await.expect("renewed");
        let fingerprints: Vec<_> = renewed.roots.iter().map(|root| fingerprint(root)).collect();
        assert_eq!(fingerprints, authorities.advertised().map(|root| fingerprint(&root)));
        renewed.report(&report(series, 2, 2, 2)).await.expect("served");
        let keys: i64 = sqlx::query_scalar("select count(*) from certificate_authorities where sealed_key is null")
            .fetch_one(&database.pool)
            .await
            .expect("count");
        assert_eq!(keys, 1, "the key of the past authority is gone");
        let actions: i64 = sqlx::query_scalar("select count(*) from audit where action = 'authority.rotated'")
            .fetch_one(&database.pool)
            .await
            .expect("count");
        assert_eq!(actions, 1);
        central.stop().await;
    }

    #[tokio::test]
    async fn another_sealing_key_does_not_open_the_authorities_and_makes_no_new_ones() {
        let database = seeded().await;
        Central::start(&database.pool).await.stop().await;
        let other = SealingKey::from_bytes(Zeroizing::new([8; 32]));
        let refused = Pki::open(&database.pool, other, &config(), Vec::new()).await;
        let text = refused.err().expect("refused").to_string();
        assert!(text.contains("sealing.key"), "{text}");
        let count: i64 = sqlx::query_scalar("select count(*) from certificate_authorities")
            .fetch_one(&database.pool)
            .await
            .expect("count");
        assert_eq!(count, 2);
    }

    #[tokio::test]
    async fn the_key_of_an_authority_is_nowhere_in_the_database_in_clear() {
        let database = seeded().await;
        Central::start(&database.pool).await.stop().await;
        let sealed: Vec<Vec<u8>> = sqlx::query_scalar("select sealed_key from certificate_authorities")
            .fetch_all(&database.pool)
            .await
            .expect("keys");
        for sealed in sealed {
            assert!(KeyPair::try_from(&PrivatePkcs8KeyDer::from(sealed.as_slice())).is_err());
            // The OID of P-256 stands in every PKCS#8 key of ours.
            assert!(!sealed.windows(8).any(|window| window == [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]));
        }
    }
}

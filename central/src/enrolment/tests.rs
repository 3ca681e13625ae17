use time::Duration;
use tonic::Code;

use crate::gateways::{self, Order};
use crate::rpc::testing::{Central, Token, code, hello, report, seeded, until};
use ids::Epoch;
use uuid::Uuid;

#[tokio::test]
async fn a_token_gives_an_identity_once() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let token = central.token(Some("gateway-1"), Duration::hours(1)).await;
    assert_eq!(Token::read(&token).address, format!("https://{}", central.address));
    let gateway = central.enrol(&token, "").await.expect("enrolled");
    let again = central.enrol(&token, "").await.err().expect("refused");
    assert_eq!((again.code(), code(&again)), (Code::Unauthenticated, "token-used"));
    let actions: Vec<String> = sqlx::query_scalar("select action from audit order by sequence")
        .fetch_all(&database.pool)
        .await
        .expect("audit");
    assert_eq!(actions, ["authority.created", "enrolment.token-created", "gateway.enrolled"]);
    let stored: Vec<Vec<u8>> =
        sqlx::query_scalar("select secret_hash from enrolment_tokens").fetch_all(&database.pool).await.expect("tokens");
    assert_ne!(stored[0], Token::read(&token).secret.as_bytes(), "only a hash is stored");
    assert!(gateway.report(&report(Uuid::new_v4(), 1, 1, 1)).await.is_ok(), "the identity is good");
    central.stop().await;
}

#[tokio::test]
async fn of_many_uses_of_one_token_at_the_same_time_one_succeeds() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let token = central.token(Some("gateway-1"), Duration::hours(1)).await;
    let tries = (0..8).map(|_| central.enrol(&token, ""));
    let results = futures_util::future::join_all(tries).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let refused = results.iter().filter_map(|result| result.as_ref().err());
    assert!(refused.clone().all(|status| code(status) == "token-used"), "{:?}", refused.collect::<Vec<_>>());
    let gateways: i64 =
        sqlx::query_scalar("select count(*) from gateways").fetch_one(&database.pool).await.expect("count");
    assert_eq!(gateways, 1);
    central.stop().await;
}

#[tokio::test]
async fn an_expired_an_unknown_and_a_revoked_token_are_refused() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let token = central.token(None, Duration::hours(1)).await;
    sqlx::query("update enrolment_tokens set expires_at = now()").execute(&database.pool).await.expect("expired");
    let status = central.enrol(&token, "gateway-1").await.err().expect("refused");
    assert_eq!(code(&status), "token-expired");

    sqlx::query("delete from enrolment_tokens").execute(&database.pool).await.expect("gone");
    let status = central.enrol(&token, "gateway-1").await.err().expect("refused");
    assert_eq!(code(&status), "token-unknown");

    let token = central.token(None, Duration::hours(1)).await;
    let id: Uuid = sqlx::query_scalar("select id from enrolment_tokens").fetch_one(&database.pool).await.expect("one");
    super::revoke_token(&database.pool, &Central::permit(), id).await.expect("revoked");
    let status = central.enrol(&token, "gateway-1").await.err().expect("refused");
    assert_eq!(code(&status), "token-expired");
    central.stop().await;
}

#[tokio::test]
async fn a_refused_name_does_not_use_the_token() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    central.gateway("gateway-1").await;
    let token = central.token(None, Duration::hours(1)).await;
    for (proposed, expected) in [("", "name-required"), ("Bad Name", "name-invalid"), ("gateway-1", "name-taken")] {
        let status = central.enrol(&token, proposed).await.err().expect("refused");
        assert_eq!(code(&status), expected);
    }
    assert!(central.enrol(&token, "gateway-2").await.is_ok());
    central.stop().await;
}

#[tokio::test]
async fn a_token_for_a_known_name_enrols_it_again_and_revokes_what_was() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let old = central.gateway("gateway-1").await;
    let mut stream = old.watch(hello(Epoch::random(), None, None)).await.expect("a stream");
    stream.answer().await.expect("served");
    let new = central.gateway("gateway-1").await;
    assert_eq!(new.id, old.id, "the same gateway");
    assert_eq!(code(&stream.end().await), "certificate-revoked");
    let status = old.report(&report(Uuid::new_v4(), 1, 1, 1)).await.expect_err("refused");
    assert_eq!(code(&status), "certificate-revoked");
    assert_eq!(code(&old.renew().await.err().expect("refused")), "certificate-revoked");
    assert!(new.report(&report(Uuid::new_v4(), 1, 1, 1)).await.is_ok());
    // A new life that names no predecessor is no clone after a new enrolment.
    let mut stream = new.watch(hello(Epoch::random(), None, None)).await.expect("a stream");
    stream.answer().await.expect("served");
    let state: String =
        sqlx::query_scalar("select state from gateways").fetch_one(&database.pool).await.expect("one gateway");
    assert_eq!(state, "active");
    central.stop().await;
}

#[tokio::test]
async fn a_certificate_that_expired_within_the_window_can_only_be_renewed() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let expired = gateway.issued_at(&central, time::OffsetDateTime::now_utc() - Duration::days(20)).await;
    let status = expired.report(&report(Uuid::new_v4(), 1, 1, 1)).await.expect_err("refused");
    assert_eq!(code(&status), "certificate-expired");
    let status = expired.watch(hello(Epoch::random(), None, None)).await.err().expect("refused");
    assert_eq!(code(&status), "certificate-expired");
    let renewed = expired.renew().await.expect("renewed");
    assert!(renewed.report(&report(Uuid::new_v4(), 1, 1, 1)).await.is_ok());
    central.stop().await;
}

#[tokio::test]
async fn past_the_window_there_is_no_connection() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let long_ago = gateway.issued_at(&central, time::OffsetDateTime::now_utc() - Duration::days(38)).await;
    let status = long_ago.renew().await.err().expect("refused");
    assert_eq!(code(&status), "", "the handshake fails, no call is answered: {status:?}");
    central.stop().await;
}

#[tokio::test]
async fn an_expired_certificate_that_is_revoked_or_unknown_is_not_renewed() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let expired = gateway.issued_at(&central, time::OffsetDateTime::now_utc() - Duration::days(20)).await;
    sqlx::query("update gateway_certificates set revoked_at = now()").execute(&database.pool).await.expect("revoked");
    assert_eq!(code(&expired.renew().await.err().expect("refused")), "certificate-revoked");
    sqlx::query("delete from gateway_certificates").execute(&database.pool).await.expect("forgotten");
    assert_eq!(code(&expired.renew().await.err().expect("refused")), "certificate-unknown");
    central.stop().await;
}

#[tokio::test]
async fn a_certificate_from_the_future_is_a_matter_of_clocks() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let early = gateway.issued_at(&central, time::OffsetDateTime::now_utc() + Duration::hours(2)).await;
    let status = early.report(&report(Uuid::new_v4(), 1, 1, 1)).await.expect_err("refused");
    assert_eq!((status.code(), code(&status)), (Code::FailedPrecondition, "clock-skew"));
    assert_eq!(code(&early.renew().await.err().expect("refused")), "clock-skew");
    central.stop().await;
}

#[tokio::test]
async fn renewals_are_bounded() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    sqlx::query(
        "insert into gateway_certificates (serial, gateway_id, authority, key_digest, not_after)
         select decode(lpad(to_hex(n), 4, '0'), 'hex'), $1, 1, decode(repeat('00', 32), 'hex'), now()
         from generate_series(1, 20) n",
    )
    .bind(gateway.id.0)
    .execute(&database.pool)
    .await
    .expect("many");
    assert_eq!(code(&gateway.renew().await.err().expect("refused")), "too-many");
    central.stop().await;
}

#[tokio::test]
async fn a_suspended_gateway_neither_renews_nor_enrols_again() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let token = central.token(Some("gateway-1"), Duration::hours(1)).await;
    let services = &central.services;
    gateways::order(&services.db, &services.fleet, &Central::permit(), "gateway-1", Order::Suspend, "test")
        .await
        .expect("suspended");
    assert_eq!(code(&gateway.renew().await.err().expect("refused")), "gateway-suspended");
    assert_eq!(code(&central.enrol(&token, "").await.err().expect("refused")), "gateway-suspended");
    gateways::order(&services.db, &services.fleet, &Central::permit(), "gateway-1", Order::Resume, "")
        .await
        .expect("resumed");
    assert!(gateway.renew().await.is_ok());
    central.stop().await;
}

#[tokio::test]
async fn two_replicas_that_start_together_share_the_authorities() {
    let database = seeded().await;
    let (one, other) = tokio::join!(Central::start(&database.pool), Central::start(&database.pool));
    let gateway = one.gateway("gateway-1").await;
    assert!(gateway.at(other.address).report(&report(Uuid::new_v4(), 1, 1, 1)).await.is_ok());
    until("both know one pair", async || {
        let generations: i64 = sqlx::query_scalar("select count(*) from certificate_authorities")
            .fetch_one(&database.pool)
            .await
            .expect("count");
        generations == 2
    })
    .await;
    one.stop().await;
    other.stop().await;
}

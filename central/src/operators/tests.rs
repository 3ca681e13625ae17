use super::*;
use crate::audit::Denials;
use crate::db::testing::{Database, database};
use crate::routes::testing::permit;

const PASSWORD: &str = "correct horse battery";

fn settings() -> config::Sessions {
    config::Sessions {
        lifetime: Duration::from_hours(1),
        idle: Duration::from_mins(10),
        lockout_after: 3,
        lockout: Duration::from_mins(5),
    }
}

fn text(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

async fn with_account() -> Database {
    let database = database().await;
    create(&database.pool, &permit("x"), "ann", Role::Admin, text(PASSWORD)).await.expect("an account");
    database
}

async fn attempt(db: &PgPool, password: &str) -> Result<LoggedIn, Error> {
    log_in(db, &settings(), &Denials::default(), "ann", text(password)).await
}

async fn run(db: &PgPool, statement: &'static str) {
    sqlx::query(statement).execute(db).await.expect("done");
}

#[tokio::test]
async fn an_account_locks_after_failures_in_a_row_and_opens_again() {
    let database = with_account().await;
    let db = &database.pool;
    for _ in 0..2 {
        assert!(attempt(db, "wrong password").await.is_err());
    }
    attempt(db, PASSWORD).await.expect("two failures are forgiven, and forgotten");
    for _ in 0..3 {
        assert!(attempt(db, "wrong password").await.is_err());
    }
    let locked = attempt(db, PASSWORD).await.err().expect("locked");
    assert_eq!(locked.kind(), Kind::Unauthenticated, "no more is told than of a wrong password");
    run(db, "update operators set locked_until = now() - interval '1 second'").await;
    attempt(db, PASSWORD).await.expect("the time is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_at_once_are_no_way_around_the_lock() {
    let database = with_account().await;
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let db = database.pool.clone();
        attempts.spawn(async move { store::begin_attempt(&db, "ann", &settings()).await.expect("asked").is_some() });
    }
    let tried = attempts.join_all().await.into_iter().filter(|tried| *tried).count();
    assert_eq!(tried, 3, "passwords looked at before the lock");
}

#[tokio::test]
async fn a_name_that_nobody_has_is_refused_like_a_wrong_password() {
    let database = with_account().await;
    let denials = Denials::default();
    let unknown = log_in(&database.pool, &settings(), &denials, "nobody", text(PASSWORD)).await.err().expect("refused");
    let wrong = attempt(&database.pool, "wrong password").await.err().expect("refused");
    assert_eq!((unknown.public(), unknown.problem_code()), (wrong.public(), wrong.problem_code()));
}

#[tokio::test]
async fn a_refused_log_in_is_recorded_under_a_name_that_exists_and_no_other_text_is_kept() {
    let database = with_account().await;
    let db = &database.pool;
    let denials = Denials::default();
    for name in ["ann", PASSWORD, "ann"] {
        assert!(log_in(db, &settings(), &denials, name, text("wrong password")).await.is_err(), "{name}");
    }
    // Also of an account that cannot log in at all.
    run(db, "update operators set disabled = true").await;
    assert!(log_in(db, &settings(), &denials, "ann", text(PASSWORD)).await.is_err());
    denials.checkpoint(db).await.expect("recorded");
    let detail: String = sqlx::query_scalar("select detail::text from audit where action = 'attempts.denied'")
        .fetch_one(db)
        .await
        .expect("one checkpoint");
    assert!(!detail.contains(PASSWORD), "{detail}");
    let detail: serde_json::Value = serde_json::from_str(&detail).expect("JSON");
    let attempts = detail["attempts"].as_array().expect("a list");
    let told: Vec<_> = attempts.iter().map(|one| (one["actor"].as_str().unwrap_or_default(), &one["count"])).collect();
    assert_eq!(told, [("log-in:ann", &serde_json::json!(3)), ("log-in:unknown", &serde_json::json!(1))]);
}

#[tokio::test]
async fn a_token_that_expired_is_refused() {
    let database = with_account().await;
    let db = &database.pool;
    let (_, secret) =
        create_token(db, &permit("x"), "ci", Role::Editor, Some(Duration::from_hours(1))).await.expect("a token");
    assert!(by_token(db, &secret).await.expect("asked").is_some());
    run(db, "update api_tokens set expires_at = now() - interval '1 second'").await;
    assert!(by_token(db, &secret).await.expect("asked").is_none());
    let eternal = create_token(db, &permit("x"), "ci2", Role::Editor, Some(Duration::from_hours(24 * 400))).await;
    assert_eq!(eternal.expect_err("refused").kind(), Kind::Invalid);
}

#[tokio::test]
async fn a_session_ends_by_age_by_idleness_by_a_new_password_and_with_its_account() {
    let database = with_account().await;
    let db = &database.pool;
    create(db, &permit("x"), "bob", Role::Admin, text(PASSWORD)).await.expect("another administrator");
    let idle = settings().idle;
    let change_password = || Changes { role: None, password: Some(text(PASSWORD)), disabled: None };
    let disable = || Changes { role: None, password: None, disabled: Some(true) };
    for end in ["age", "idleness", "password", "account"] {
        let session = attempt(db, PASSWORD).await.expect("a session");
        assert!(by_session(db, &session.secret, idle).await.expect("asked").is_some(), "{end}");
        match end {
            "age" => run(db, "update sessions set expires_at = now() - interval '1 second'").await,
            "idleness" => run(db, "update sessions set last_used_at = now() - interval '11 minutes'").await,
            "password" => drop(change(db, &permit("x"), "ann", change_password()).await.expect("changed")),
            _ => drop(change(db, &permit("x"), "ann", disable()).await.expect("disabled")),
        }
        assert!(by_session(db, &session.secret, idle).await.expect("asked").is_none(), "{end}");
    }
    assert!(attempt(db, PASSWORD).await.is_err(), "a disabled account cannot log in");
}

#[tokio::test]
async fn a_session_has_the_role_that_the_account_has_now() {
    let database = with_account().await;
    let db = &database.pool;
    create(db, &permit("x"), "bob", Role::Admin, text(PASSWORD)).await.expect("another administrator");
    let session = attempt(db, PASSWORD).await.expect("a session");
    let demoted = Changes { role: Some(Role::Viewer), password: None, disabled: None };
    change(db, &permit("x"), "ann", demoted).await.expect("changed");
    let caller = by_session(db, &session.secret, settings().idle).await.expect("asked").expect("still a session");
    assert_eq!(caller.role, Role::Viewer);
}

#[tokio::test]
async fn the_last_administrator_stays_one() {
    let database = with_account().await;
    for changes in [
        Changes { role: Some(Role::Viewer), password: None, disabled: None },
        Changes { role: None, password: None, disabled: Some(true) },
    ] {
        let refused = change(&database.pool, &permit("x"), "ann", changes).await.expect_err("refused");
        assert_eq!(refused.problem_code(), "last-administrator");
    }
    let account = list(&database.pool).await.expect("accounts").0.pop().expect("one");
    assert_eq!((account.role, account.disabled), (Role::Admin, false));
}

#[tokio::test]
async fn names_and_passwords_have_rules() {
    let database = with_account().await;
    let db = &database.pool;
    for (name, password, code) in [
        ("ann", PASSWORD, "name-taken"),
        ("Not A Name", PASSWORD, "invalid"),
        ("carl", "short", "invalid"),
        ("carl", "control\u{7}characters", "invalid"),
    ] {
        let refused = create(db, &permit("x"), name, Role::Viewer, text(password)).await.expect_err("refused");
        assert_eq!(refused.problem_code(), code, "{name} {password}");
    }
}

#[tokio::test]
async fn no_secret_is_stored_as_it_is() {
    let database = with_account().await;
    let db = &database.pool;
    let session = attempt(db, PASSWORD).await.expect("a session");
    let (_, token) = create_token(db, &permit("x"), "ci", Role::Editor, None).await.expect("a token");
    for table in ["operators", "sessions", "api_tokens", "audit"] {
        let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select t::text from {table} t")))
            .fetch_all(db)
            .await
            .expect("rows");
        for secret in [PASSWORD, session.secret.as_str(), &token[TOKEN_PREFIX.len()..]] {
            let hexed = hex::encode(secret);
            assert!(rows.iter().all(|row| !row.contains(secret) && !row.contains(&hexed)), "{table}");
        }
    }
    let phc: String = sqlx::query_scalar("select password_hash from operators").fetch_one(db).await.expect("a hash");
    assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
}

#[tokio::test]
async fn the_first_start_makes_one_account_and_later_ones_none() {
    let database = database().await;
    let db = &database.pool;
    let configured = config::Admin { password: None, token_file: None };
    let password = begin(db, &configured).await.expect("begun").expect("a random password");
    log_in(db, &settings(), &Denials::default(), FIRST, password).await.expect("it is the password");
    assert!(begin(db, &configured).await.expect("begun").is_none());
    assert_eq!(list(db).await.expect("accounts").0.len(), 1);

    let token = secret(TOKEN_PREFIX).expect("random");
    for _ in 0..2 {
        hold_configured_token(db, &token).await.expect("held");
    }
    assert_eq!(by_token(db, &token).await.expect("asked").expect("known").role, Role::Admin);
    let next = secret(TOKEN_PREFIX).expect("random");
    hold_configured_token(db, &next).await.expect("held");
    assert!(by_token(db, &token).await.expect("asked").is_none(), "the configured one only");
    assert!(hold_configured_token(db, "sgc_short").await.is_err());
}

#[tokio::test]
async fn ones_own_password_is_changed_with_the_present_one_and_ends_the_other_sessions() {
    use crate::routes::testing::{PASSWORD, Rest};
    let rest = Rest::start().await;
    let here = rest.log_in(PASSWORD).await.unwrap_or_else(|answer| panic!("{}", answer.text));
    let there = rest.log_in(PASSWORD).await.unwrap_or_else(|answer| panic!("{}", answer.text));
    let change = async |cookie: &str, current: &str, new: &str| {
        let body = serde_json::json!({ "current": current, "new": new }).to_string();
        let headers = [("cookie", cookie), ("x-sealgate-request", "1"), ("content-type", "application/json")];
        let answer = rest.ask("", "POST /session/password", &headers, body).await;
        (answer.status.as_u16(), answer.text)
    };
    let who = async |cookie: &str| rest.ask("", "GET /session", &[("cookie", cookie)], "").await.status.as_u16();
    let (status, text) = change(&here, "not the password", "another good password").await;
    assert!(
        status == 403 && text.contains("password-refused") && text.contains("\"path\":\"current\""),
        "{status} {text}"
    );
    let (status, text) = change(&here, PASSWORD, "short").await;
    assert!(status == 422 && text.contains("\"path\":\"new\""), "{status} {text}");
    assert_eq!((who(&here).await, who(&there).await), (200, 200), "nothing was changed");
    let (status, text) = change(&here, PASSWORD, "another good password").await;
    assert_eq!((status, text.as_str()), (204, ""));
    assert_eq!((who(&here).await, who(&there).await), (200, 401), "this session goes on, the others end");
    assert!(rest.log_in(PASSWORD).await.is_err());
    assert!(rest.log_in("another good password").await.is_ok());
    // A session is no way to find the password out.
    for _ in 0..rest.app.config.sessions.lockout_after {
        change(&here, "a guess of somebody", "a password of theirs").await;
    }
    assert_eq!(change(&here, "another good password", "a password of theirs").await.0, 403, "locked");
    let token = rest.token(Role::Admin).await;
    let body = serde_json::json!({ "current": PASSWORD, "new": "a password of theirs" }).to_string();
    let answer = rest.ask(&token, "POST /session/password", &[("content-type", "application/json")], body).await;
    assert_eq!((answer.status.as_u16(), answer.json()["code"].clone()), (403, serde_json::json!("session-needed")));
}

use serde_json::{Value, json};

use super::*;
use crate::db::testing::database;

/// What a verifier does with nothing but the file: the rule of the module's head, on raw lines.
fn first_wrong(export: &str) -> Option<u64> {
    let (mut previous, mut expected) = ("0".repeat(64), 1);
    for line in export.lines() {
        let parsed: Value = serde_json::from_str(line).expect("JSON");
        let claimed = parsed["hash"].as_str().expect("a hash");
        let without = line.replace(&format!(",\"hash\":\"{claimed}\""), "");
        let right = hex::encode(Sha256::digest(without.as_bytes())) == claimed
            && parsed["previous_hash"] == previous.as_str()
            && parsed["sequence"] == expected;
        if !right {
            return Some(expected);
        }
        claimed.clone_into(&mut previous);
        expected += 1;
    }
    None
}

async fn export(db: &sqlx::PgPool) -> String {
    let records = export_page(db, 0, 1_000).await.expect("records");
    records.iter().map(|record| record.export_line().expect("a line") + "\n").collect()
}

async fn write(db: &sqlx::PgPool, subject: &str) -> Result<(), Error> {
    let detail = json!({ "text": "quotes \" and ü and \n" });
    db::transaction!(db, "test", async |tx| {
        record(tx, &Actor::operator("someone"), "thing.changed", subject, &detail).await
    })
    .await
}

#[tokio::test]
async fn a_chain_verifies_with_the_file_alone_and_a_tampered_row_is_found() {
    let database = database().await;
    let db = &database.pool;
    for n in 0..10 {
        write(db, &format!("thing {n} \"quoted\", \"hash\":\"x\"")).await.expect("written");
    }
    assert_eq!(first_wrong(&export(db).await), None);
    assert_eq!(export(db).await.lines().count(), 10);

    // Somebody with all rights over the database gets past the trigger.
    for (change, wrong) in [
        ("update audit set subject = 'nothing to see' where sequence = 4", 4),
        ("update audit set detail = '{}' where sequence = 3", 3),
        ("delete from audit where sequence = 2", 2),
    ] {
        let mut connection = db.acquire().await.expect("a connection");
        sqlx::query("alter table audit disable trigger user").execute(&mut *connection).await.expect("superuser");
        sqlx::query(sqlx::AssertSqlSafe(change)).execute(&mut *connection).await.expect("changed");
        sqlx::query("alter table audit enable trigger user").execute(&mut *connection).await.expect("superuser");
        assert_eq!(first_wrong(&export(db).await), Some(wrong), "{change}");
    }
}

#[tokio::test]
async fn the_database_refuses_to_change_the_audit() {
    let database = database().await;
    write(&database.pool, "a").await.expect("written");
    for statement in ["update audit set actor = 'other'", "delete from audit", "truncate audit"] {
        let refused = sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&database.pool).await.expect_err(statement);
        assert!(refused.to_string().contains("append-only"), "{refused}");
    }
}

#[tokio::test]
async fn what_is_rolled_back_leaves_no_record() {
    let database = database().await;
    let refused: Result<(), Error> = db::transaction!(&database.pool, "test", async |tx| {
        record(tx, &Actor::system(), "thing.changed", "a", &json!({})).await?;
        Err(Error::new(crate::error::Kind::Conflict, "no"))
    })
    .await;
    assert!(refused.is_err());
    assert_eq!(head(&database.pool).await.expect("a head").0, 0);
    assert_eq!(export(&database.pool).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_at_once_make_one_chain() {
    let database = database().await;
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..32 {
        let db = database.pool.clone();
        writers.spawn(async move { write(&db, &n.to_string()).await });
    }
    assert!(writers.join_all().await.iter().all(Result::is_ok));
    assert_eq!(export(&database.pool).await.lines().count(), 32);
    assert_eq!(first_wrong(&export(&database.pool).await), None);
}

#[tokio::test]
async fn a_flood_of_different_attempts_is_bounded_and_all_of_it_counted() {
    let database = database().await;
    let denials = Denials::default();
    for n in 0..10_000 {
        denials.count(&format!("log-in:{n}{}", "x".repeat(1_000)), "POST /api/v1/session", "log-in-refused");
    }
    denials.checkpoint(&database.pool).await.expect("a checkpoint");
    let record = export_page(&database.pool, 0, 10).await.expect("records").pop().expect("one");
    let detail: Value = serde_json::from_str(&record.detail).expect("JSON");
    let told = detail["attempts"].as_array().expect("attempts").len();
    assert_eq!(told as u64 + detail["not_told_apart"].as_u64().expect("a number"), 10_000);
    assert!(told <= 200 && record.detail.len() < 64 * 1024, "{told} {}", record.detail.len());
}

#[tokio::test]
async fn counts_survive_a_database_that_does_not_answer() {
    let database = database().await;
    let denials = Denials::default();
    denials.count("anonymous", "GET /x", "unauthenticated");
    let away = sqlx::postgres::PgPoolOptions::new()
        .acquire_timeout(std::time::Duration::from_millis(200))
        .connect_lazy("postgres://nobody@127.0.0.1:1/none")
        .expect("a pool");
    assert!(denials.checkpoint(&away).await.is_err());
    denials.checkpoint(&database.pool).await.expect("a checkpoint");
    assert!(export(&database.pool).await.contains("\"count\":1"));
}

#[tokio::test]
async fn the_audit_can_be_asked_by_time_and_by_a_part_of_the_subject() {
    let rest = crate::routes::testing::Rest::start().await;
    let token = rest.token(crate::caller::Role::Approver).await;
    for subject in ["payroll-eu", "payroll-us", "photos"] {
        write(&rest.db, subject).await.expect("written");
    }
    let ask = async |query: &str| {
        let answer = rest.ask(&token, &format!("GET /audit?{query}"), &[], "").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let records = answer.json()["records"].as_array().expect("records").clone();
        records.iter().map(|record| record["subject"].as_str().expect("a subject").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ask("q=payroll").await, ["payroll-us", "payroll-eu"]);
    let at: String = rest.ask(&token, "GET /audit?subject=payroll-us", &[], "").await.json()["records"][0]["at"]
        .as_str()
        .expect("a time")
        .to_owned();
    assert_eq!(ask(&format!("since={at}")).await, ["photos", "payroll-us"], "from then on");
    assert_eq!(ask(&format!("until={at}&q=pay")).await, ["payroll-eu"], "before then");
    let wrong = rest.ask(&token, "GET /audit?since=yesterday", &[], "").await;
    assert_eq!(wrong.status, 400, "{}", wrong.text);
}

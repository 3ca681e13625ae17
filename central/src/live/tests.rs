use axum::body::{Body, BodyDataStream};
use axum::http::StatusCode;
use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::caller::Role;
use crate::operators;
use crate::routes::testing::{PASSWORD, Rest, permit};
use crate::rpc::testing::{PATIENCE, publish};

/// A browser's end of a stream.
struct Browser {
    body: BodyDataStream,
    text: String,
}

impl Browser {
    async fn open(rest: &Rest, header: (&str, &str)) -> Self {
        let response = rest.open("/events", header).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let body: Body = response.into_body();
        Self { body: body.into_data_stream(), text: String::new() }
    }

    /// Reads on until `what` came; what comes after it is looked at next.
    async fn until(&mut self, what: &str) {
        let reading = async {
            loop {
                if let Some(at) = self.text.find(what) {
                    self.text.drain(..at + what.len());
                    return;
                }
                let chunk = self.body.next().await.unwrap_or_else(|| panic!("it ended before {what:?}: {}", self.text));
                self.text.push_str(std::str::from_utf8(&chunk.expect("a chunk")).expect("text"));
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("{what:?} never came"));
    }

    /// Reads to the end.
    async fn end(mut self) {
        let reading = async { while self.body.next().await.is_some() {} };
        tokio::time::timeout(PATIENCE, reading).await.expect("the stream ends");
    }
}

/// Looks as a serving Central does.
fn looking(rest: &Rest) -> CancellationToken {
    let stop = CancellationToken::new();
    let (app, token) = (rest.app.clone(), stop.clone());
    tokio::spawn(async move {
        let feed = app.services.feed.run(token.clone());
        tokio::join!(feed, app.live.run(&app.services, token.clone()));
    });
    stop
}

#[tokio::test]
async fn who_comes_gets_a_hint_of_each_topic_and_then_one_of_what_changes() {
    let rest = Rest::start().await;
    let stop = looking(&rest);
    let viewer = rest.token(Role::Viewer).await;
    let bearer = format!("Bearer {}", *viewer);
    let mut browser = Browser::open(&rest, ("authorization", &bearer)).await;
    browser.until("retry: 2000").await;
    for topic in ["policies\ndata: {\"revision\":0}\n", "gateways\ndata: {}\n", "statistics\n", "notifications\n"] {
        browser.until(&format!("event: {topic}")).await;
    }
    // The numbers of the first look.
    browser.until("event: notifications\n").await;
    publish(&rest.db, "first").await;
    browser.until("event: policies\ndata: {\"revision\":1}\n").await;
    sqlx::query("insert into gateways (id, name, state) values (gen_random_uuid(), 'new', 'active')")
        .execute(&rest.db)
        .await
        .expect("enrolled");
    browser.until("event: gateways\n").await;
    browser.until("event: notifications\n").await;
    sqlx::query("insert into report_series (gateway_id, series, high_water) select id, id, 1 from gateways")
        .execute(&rest.db)
        .await
        .expect("reported");
    browser.until("event: statistics\n").await;
    assert!(!browser.text.contains("gateways"), "nothing else changed: {}", browser.text);
    stop.cancel();
}

#[tokio::test]
async fn the_stream_ends_with_the_session_and_who_comes_back_is_refused() {
    let rest = Rest::start().await;
    let stop = looking(&rest);
    let headers = |cookie: &str| [("cookie", cookie.to_owned()), ("x-sealgate-request", "1".to_owned())];
    for end in ["log-out", "idle", "disabled"] {
        let cookie = rest.log_in(PASSWORD).await.unwrap_or_else(|answer| panic!("{}", answer.text));
        let mut browser = Browser::open(&rest, ("cookie", &cookie)).await;
        browser.until("event: notifications").await;
        match end {
            "log-out" => {
                let headers = headers(&cookie);
                let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let gone = rest.ask("", "DELETE /session", &headers, "").await;
                assert_eq!(gone.status, StatusCode::NO_CONTENT);
            }
            "idle" => {
                let older = "update sessions set last_used_at = now() - interval '2 hours'";
                sqlx::query(older).execute(&rest.db).await.expect("older");
            }
            _ => {
                sqlx::query("update operators set disabled = true").execute(&rest.db).await.expect("disabled");
            }
        }
        browser.end().await;
        let back = rest.ask("", "GET /events", &[("cookie", &cookie)], "").await;
        assert_eq!(back.status, StatusCode::UNAUTHORIZED, "{end}: {}", back.text);
    }
    stop.cancel();
}

#[tokio::test]
async fn a_revoked_token_and_a_stopping_replica_end_their_streams() {
    let rest = Rest::start().await;
    let (token, text) =
        operators::create_token(&rest.db, &permit("x"), "screen", Role::Viewer, None).await.expect("made");
    let bearer = format!("Bearer {}", *text);
    let browser = Browser::open(&rest, ("authorization", &bearer)).await;
    operators::revoke_token(&rest.db, &permit("x"), &token.name).await.expect("revoked");
    browser.end().await;
    let viewer = rest.token(Role::Viewer).await;
    let bearer = format!("Bearer {}", *viewer);
    let browser = Browser::open(&rest, ("authorization", &bearer)).await;
    rest.app.live.end();
    // Nothing else would end it.
    browser.end().await;
}

#[tokio::test]
async fn there_are_only_so_many_streams_and_a_closed_one_gives_its_place_back() {
    let rest = Rest::start().await;
    let viewer = rest.token(Role::Viewer).await;
    let bearer = format!("Bearer {}", *viewer);
    let mut browsers = Vec::new();
    for _ in 0..super::STREAMS {
        browsers.push(Browser::open(&rest, ("authorization", &bearer)).await);
    }
    let refused = rest.open("/events", ("authorization", &bearer)).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    browsers.pop();
    Browser::open(&rest, ("authorization", &bearer)).await;
}

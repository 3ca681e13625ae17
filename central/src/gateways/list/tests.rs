use ids::Epoch;
use proto::watch::{Refusal, WatchDown, WatchUp};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::caller::Role;
use crate::gateways::{Connection, Order, order};
use crate::routes::testing::Rest;
use crate::rpc::testing::{Central, hello, report, until};

/// So many gateways, without a Central that hears them; each reported two keys.
async fn filled(rest: &Rest, number: i32) {
    let statements = [
        "insert into gateways (id, name, state, labels, stream_open, last_seen_at, lineage, received, applied, effective)
         select gen_random_uuid(), 'gw-' || lpad(n::text, 5, '0'),
                (array['active', 'active', 'active', 'suspended', 'retired'])[n % 5 + 1],
                jsonb_build_object('region', 'eu-' || n % 4), n % 3 = 0, now() - (n % 3 * 40 + 1) * interval '1 s',
                h.lineage, n % 2, n % 2, n % 2
         from generate_series(1, $1) n, policy_head h",
        "insert into report_series (gateway_id, series)
         select id, gen_random_uuid() from gateways, generate_series(1, $1) n where n = 1",
        "insert into object_totals (gateway_id, series, bucket, policy, outcome, direction, objects, bytes)
         select gateway_id, series, b.bucket, '', 'plain', b.direction, 2, 20
         from report_series, (values ('a', 'in'), ('b', 'in'), ('b', 'out')) b (bucket, direction), generate_series(1, $1) n
         where n = 1",
    ];
    for statement in statements {
        sqlx::query(statement).bind(number).execute(&rest.db).await.expect("filled");
    }
    sqlx::query("analyze").execute(&rest.db).await.expect("analysed");
}

fn names(answer: &Value) -> Vec<String> {
    let gateways = answer["gateways"].as_array().unwrap_or_else(|| panic!("{answer}"));
    gateways.iter().map(|gateway| gateway["name"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn pages_give_every_gateway_once_and_the_total_is_of_all_pages() {
    let rest = Rest::start().await;
    filled(&rest, 250).await;
    let token = rest.token(Role::Operator).await;
    let ask = async |query: String| rest.ask(&token, &format!("GET /gateways?{query}"), &[], "").await.json();
    for (filter, total) in
        [("", 250), ("retired=false", 200), ("state=suspended&state=retired", 100), ("q=gw-0024", 10)]
    {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = ask(format!("{filter}&limit=70&after={after}")).await;
            assert_eq!(page["total"], total, "{filter}");
            seen.extend(names(&page));
            match page["next"].as_str() {
                Some(next) => after = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(seen.len(), total, "{filter}");
        assert!(seen.is_sorted_by(|a, b| a < b), "{filter}: {seen:?}");
    }
}

#[tokio::test]
async fn in_each_order_pages_give_every_gateway_once_also_among_those_that_are_alike() {
    let rest = Rest::start().await;
    filled(&rest, 60).await;
    // Few versions and moments for many gateways, so that pages end among those that are alike; connected ones are heard
    // while pages are read, which must not move them.
    sqlx::query(
        "update gateways set version = (array['0.9.0', '0.10.0', '0.10.0-rc.1', '', 'next'])[substr(name, 4)::int % 5 + 1],
             last_seen_at = case substr(name, 4)::int % 4 when 0 then null else date_trunc('minute', now()) - interval '1 h' end
         where not stream_open",
    )
    .execute(&rest.db)
    .await
    .expect("set");
    let token = rest.token(Role::Operator).await;
    let ask = async |query: String| rest.ask(&token, &format!("GET /gateways?{query}"), &[], "").await.json();
    let place = |words: &'static [&'static str]| {
        move |row: &Value, field: &str| words.iter().position(|word| row[field] == *word).expect("a known word")
    };
    let rank = |sort: &str, row: &Value| -> (usize, String) {
        match sort {
            "revision" => (usize::try_from(row["revision"].as_u64().expect("a number")).expect("small"), String::new()),
            "connection" => (place(&["connected", "late", "lost"])(row, "connection"), String::new()),
            "version" => (place(&["", "next", "0.9.0", "0.10.0", "0.10.0-rc.1"])(row, "version"), String::new()),
            "seen" if row["connection"] == "connected" => (2, String::new()),
            "seen" => (usize::from(!row["since"].is_null()), row["since"].as_str().unwrap_or_default().to_owned()),
            _ => (0, String::new()),
        }
    };
    for sort in ["name", "seen", "connection", "version", "revision"] {
        for down in [false, true] {
            let (mut seen, mut after) = (Vec::new(), String::new());
            loop {
                let page = ask(format!("sort={sort}&down={down}&limit=7&after={after}")).await;
                assert_eq!(page["total"], 60, "{page}");
                seen.extend(page["gateways"].as_array().expect("rows").clone());
                let heard = "update gateways set last_seen_at = now() where stream_open";
                sqlx::query(heard).execute(&rest.db).await.expect("heard");
                match page["next"].as_str() {
                    Some(next) => after = next.replace('/', "%2F"),
                    None => break,
                }
            }
            let told: Vec<_> =
                seen.iter().map(|row| (rank(sort, row), row["name"].as_str().expect("a name").to_owned())).collect();
            let mut expected = told.clone();
            expected.sort();
            expected.dedup();
            if down {
                expected.reverse();
            }
            assert_eq!(told, expected, "sort={sort} down={down}");
            assert_eq!(told.len(), 60, "sort={sort} down={down}");
        }
    }
    for wrong in ["sort=seen&after=gw-00001", "sort=revision&after=x/gw-00001"] {
        let answer = rest.ask(&token, &format!("GET /gateways?{wrong}"), &[], "").await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].clone()), (400, json!("invalid")), "{wrong}");
    }
}

#[tokio::test]
async fn the_convergence_gives_every_gateway_once_page_by_page_and_its_numbers_count_all_of_them() {
    let rest = Rest::start().await;
    filled(&rest, 250).await;
    for statement in [
        "update policy_head set number = 1",
        "insert into gateway_refusals (gateway_id, lineage, number, digest, code, item, reason, epoch, version)
         select g.id, h.lineage, 1, h.digest, 'unknown-format', '', 'x', gen_random_uuid(), '1'
         from gateways g, policy_head h where substr(g.name, 4)::int % 7 = 0",
    ] {
        sqlx::query(statement).execute(&rest.db).await.expect("set");
    }
    let token = rest.token(Role::Operator).await;
    let ask = async |query: &str| rest.ask(&token, &format!("GET /convergence?{query}"), &[], "").await.json();
    let numbers = ask("limit=0").await;
    assert_eq!((numbers["by_gateway"].clone(), numbers["next"].clone()), (json!([]), Value::Null));
    let mut all = Vec::new();
    for progress in ["effective", "waiting", "refused"] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = ask(&format!("progress={progress}&limit=13&after={after}")).await;
            assert_eq!(page["gateways"], numbers["gateways"], "the numbers are of all, whatever is listed");
            seen.extend(page["by_gateway"].as_array().expect("rows").clone());
            match page["next"].as_str() {
                Some(next) => after = next.to_owned(),
                None => break,
            }
        }
        let is = |row: &Value| match progress {
            "effective" => row["effective"] == true,
            "refused" => !row["refusal"].is_null(),
            _ => row["effective"] == false && row["refusal"].is_null(),
        };
        assert!(!seen.is_empty() && seen.iter().all(is), "{progress}: {seen:?}");
        if progress == "waiting" {
            let far = seen.iter().filter(|row| row["connection"] != "connected").count();
            assert!(far > 0 && far < seen.len());
            assert_eq!(numbers["unreached"], far);
        } else {
            assert_eq!(numbers[progress], seen.len(), "{progress}");
        }
        all.extend(seen.iter().map(|row| row["name"].as_str().expect("a name").to_owned()));
    }
    assert_eq!(numbers["gateways"], all.len());
    all.sort();
    all.dedup();
    assert_eq!(numbers["gateways"], all.len(), "each once");
    let whole = ask("").await;
    assert_eq!(numbers["gateways"], whole["by_gateway"].as_array().expect("rows").len());
}

#[tokio::test]
async fn each_filter_says_what_the_rows_say() {
    let rest = Rest::start().await;
    filled(&rest, 250).await;
    let token = rest.token(Role::Operator).await;
    let ask = async |query: &str| rest.ask(&token, &format!("GET /gateways?{query}"), &[], "").await.json();
    let all = ask("").await;
    let rows = all["gateways"].as_array().expect("rows");
    let here = |is: &dyn Fn(&Value) -> bool| rows.iter().filter(|row| is(row)).count();
    let living = |row: &Value| row["state"] != "retired";
    for connection in Connection::ALL {
        let word = connection.as_str();
        let found = here(&|row| living(row) && row["connection"] == word);
        assert!(found > 0, "{word}");
        assert_eq!(
            ask(&format!("connection={word}")).await["total"],
            found,
            "{word}: the clock moved on, or SQL judges otherwise"
        );
    }
    let region = here(&|row| row["labels"]["region"] == "eu-3");
    assert_eq!(ask("q=region%3Deu-3").await["total"], region);
    assert_eq!(ask("q=region%3Deu").await["total"], 250, "a value that begins so");
    assert_eq!(ask("q=zone%3Deu").await["total"], 0);
    let head: i64 = sqlx::query_scalar("select number from policy_head").fetch_one(&rest.db).await.expect("a head");
    assert_eq!((head, ask("behind=true").await["total"].clone()), (0, json!(0)), "nobody is behind the empty set");
    sqlx::query("update policy_head set number = 1").execute(&rest.db).await.expect("moved");
    let behind = here(&|row| row["state"] == "active" && row["effective_revision"] == 0);
    assert!(behind > 0);
    assert_eq!(ask("behind=true").await["total"], behind);
    assert_eq!(ask("gateway=gw-00001&gateway=gw-00002&gateway=nobody").await["total"], 2);
    for wrong in ["state=dead", "connection=maybe", "bogus=1", "refusing=2", "sort=age"] {
        let answer = rest.ask(&token, &format!("GET /gateways?{wrong}"), &[], "").await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].clone()), (400, json!("invalid")), "{wrong}");
    }
    assert_eq!((rows[0]["bytes_in"].clone(), rows[0]["bytes_out"].clone()), (json!(40), json!(20)));
}

#[tokio::test]
async fn a_viewer_sees_names_and_states_and_nothing_that_tells_more() {
    let rest = Rest::start().await;
    filled(&rest, 3).await;
    sqlx::query(
        "update gateways set address = '10.1.2.3:4', state_because = 'stolen laptop', storage_id = gen_random_uuid(),
             epoch = gen_random_uuid(), intruder_epoch = gen_random_uuid(), intruder_address = '10.9.9.9:1'",
    )
    .execute(&rest.db)
    .await
    .expect("set");
    let viewer = rest.token(Role::Viewer).await;
    let answer = rest.ask(&viewer, "GET /gateways", &[], "").await;
    for secret in ["10.1.2.3", "10.9.9.9", "stolen", "eu-1", "region"] {
        assert!(!answer.text.contains(secret), "{secret}: {}", answer.text);
    }
    let row = answer.json()["gateways"][0].clone();
    assert_eq!((row["name"].clone(), row["state"].clone()), (json!("gw-00001"), json!("active")));
    assert!(row["storage_id"].is_null() && row["epoch"].is_null() && row["clone"].is_null(), "{row}");
    let probing = rest.ask(&viewer, "GET /gateways?q=region%3Deu-1", &[], "").await;
    assert_eq!(probing.status, 403, "what is not shown cannot be guessed by filters either");
}

#[tokio::test]
async fn what_happened_to_a_gateway_is_told_newest_first() {
    let rest = Rest::start().await;
    let central = Central::over(rest.app.services.clone()).await;
    let token = rest.token(Role::Operator).await;
    let gateway = central.gateway("gateway-1").await;
    central.gateway("gateway-2").await;
    crate::rpc::testing::publish(&rest.db, "first").await;
    let mut stream = gateway.watch(hello(Epoch::random(), None, None)).await.expect("a stream");
    let held = loop {
        // The empty set may come first.
        match stream.answer().await.expect("served") {
            WatchDown::Bundle(bundle) if bundle.held.revision.number == 1 => break bundle.held,
            _ => {}
        }
    };
    let refusal = Refusal {
        refused: held,
        kept: None,
        code: "unknown-format".to_owned(),
        item: "payroll: spec.when".to_owned(),
        reason: "it is too new".to_owned(),
    };
    stream.say(WatchUp::Refusal(refusal)).await;
    let events = async || rest.ask(&token, "GET /gateways/gateway-1/events", &[], "").await.json();
    until("the refusal is noted", async || events().await["events"][0]["kind"] == "refused").await;
    let services = &central.services;
    order(&rest.db, &services.fleet, &Central::permit(), "gateway-1", Order::Suspend, "stolen").await.expect("done");
    drop(stream);
    until("the end of the stream is noted", async || events().await["events"][0]["kind"] == "disconnected").await;
    let told = events().await;
    let kinds: Vec<_> = told["events"].as_array().expect("events").iter().map(|event| event["kind"].clone()).collect();
    assert_eq!(kinds, ["disconnected", "state", "refused", "connected", "enrolled"]);
    assert_eq!(told["events"][1]["detail"]["because"], "stolen");
    assert_eq!(told["events"][2]["detail"]["item"], "payroll: spec.when");
    let page = rest.ask(&token, "GET /gateways/gateway-1/events?limit=2", &[], "").await.json();
    let rest_of = rest.ask(&token, &format!("GET /gateways/gateway-1/events?before={}", page["next"]), &[], "").await;
    assert_eq!(rest_of.json()["events"].as_array().expect("events").len(), 3);
    assert_eq!(rest.ask(&token, "GET /gateways/nobody/events", &[], "").await.status, 404);
    central.stop().await;
}

#[tokio::test]
async fn the_figures_of_a_gateway_are_its_own() {
    let rest = Rest::start().await;
    let central = Central::over(rest.app.services.clone()).await;
    let token = rest.token(Role::Operator).await;
    let (one, other) = (central.gateway("one").await, central.gateway("other").await);
    let series = Uuid::new_v4();
    one.report(&report(series, 1, 5, 500)).await.expect("merged");
    one.report(&report(series, 1, 5, 500)).await.expect("a replay");
    other.report(&report(series, 1, 9, 900)).await.expect("merged");
    let told = rest.ask(&token, "GET /gateways/one/figures", &[], "").await.json();
    assert_eq!(told["objects"].as_array().expect("rows").len(), 1, "{told}");
    assert_eq!(told["objects"][0]["objects"], 5);
    assert_eq!((told["reports"]["replays"].clone(), told["reports"]["missing"].clone()), (json!(1), json!(0)));
    assert_eq!(rest.ask(&token, "GET /gateways/nobody/figures", &[], "").await.status, 404);
    central.stop().await;
}

/// Rows that the database has read from tables so far, by scans and by indexes.
async fn rows_read(db: &sqlx::PgPool) -> i64 {
    // Each connection keeps its own count until it is told to give it away.
    let mut all = Vec::new();
    for _ in 0..db.options().get_max_connections() {
        all.push(db.acquire().await.expect("a connection"));
    }
    for connection in &mut all {
        sqlx::query("select pg_stat_force_next_flush()").execute(&mut **connection).await.expect("given away");
    }
    sqlx::query_scalar(
        "select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint from pg_stat_user_tables",
    )
    .fetch_one(&mut *all[0])
    .await
    .expect("counted")
}

/// No benchmark: the work is counted, not timed. A page costs a few rows a gateway, also where it is filtered, and not a
/// row for each pair of them.
#[tokio::test]
async fn ten_thousand_gateways_are_listed_and_filtered_with_a_few_rows_read_for_each() {
    let rest = Rest::start().await;
    let number = 10_000;
    filled(&rest, number).await;
    let token = rest.token(Role::Operator).await;
    for query in [
        "limit=100",
        "limit=100&after=gw-05000",
        "limit=100&q=0123",
        "limit=100&q=region%3Deu-1",
        "limit=100&connection=lost",
        "limit=100&behind=true&refusing=true",
    ] {
        let before = rows_read(&rest.db).await;
        let answer = rest.ask(&token, &format!("GET /gateways?{query}"), &[], "").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let read = rows_read(&rest.db).await - before;
        assert!((1..8 * i64::from(number)).contains(&read), "{query}: {read} rows for {number} gateways");
    }
}

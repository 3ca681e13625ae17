//! Waiting until the fleet has come as far as was asked with a revision.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::args::WaitArgs;
use crate::client::Client;
use crate::failure::{Failure, Problem};

/// Between two questions.
const POLL: Duration = Duration::from_millis(200);

/// What one answer of Central means.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// All that is waited for is there. Gateways that are not connected were passed over.
    Done { gateways: Vec<String>, passed_over: Vec<String> },
    /// These are not there yet.
    Missing(Vec<Missing>),
}

/// A gateway that is not there yet.
#[derive(Debug, PartialEq, Eq)]
struct Missing {
    name: String,
    /// As Central sees it: connected, late, lost.
    connection: String,
    /// Why it refuses the revision; none: it lags.
    refusal: Option<String>,
}

/// Adds `waited` to the outcome of a change once its revision has come as far as `wait` asks, on every active gateway
/// that is connected. The others follow when they connect. Where there are active gateways and none is connected, none
/// has the revision: those are waited for.
pub(super) async fn until(central: &Client, mut outcome: Value, wait: &WaitArgs) -> Result<Value, Failure> {
    let Some(progress) = wait.wait else { return Ok(outcome) };
    let revision = outcome["revision"].to_string();
    let began = Instant::now();
    let deadline = began + wait.timeout;
    loop {
        let convergence = every_gateway(central, &revision).await?;
        match judge(&convergence, progress.as_str()) {
            Standing::Done { gateways, passed_over } => {
                let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                let waited = json!({
                    "for": progress.as_str(), "gateways": gateways, "passed_over": passed_over,
                    "milliseconds": milliseconds,
                });
                if let Some(outcome) = outcome.as_object_mut() {
                    outcome.insert("waited".to_owned(), waited);
                }
                return Ok(outcome);
            }
            Standing::Missing(missing) => {
                let refused = !missing.is_empty() && missing.iter().all(|gateway| gateway.refusal.is_some());
                if refused || Instant::now() + POLL > deadline {
                    return Err(failure(&outcome, progress.as_str(), &missing));
                }
            }
        }
        sleep(POLL).await;
    }
}

/// How far each gateway has come with a revision: all pages of the answer as one.
async fn every_gateway(central: &Client, revision: &str) -> Result<Value, Failure> {
    let mut whole = central.get(&["convergence"], &[("revision", revision)]).await?;
    while let Some(after) = whole["next"].as_str().map(str::to_owned) {
        let mut page = central.get(&["convergence"], &[("revision", revision), ("after", &after)]).await?;
        let rows = page["by_gateway"].take();
        whole["next"] = page["next"].take();
        match (whole["by_gateway"].as_array_mut(), rows) {
            (Some(all), Value::Array(more)) => all.extend(more),
            _ => break,
        }
    }
    Ok(whole)
}

fn judge(convergence: &Value, progress: &str) -> Standing {
    let text = |gateway: &Value, name: &str| gateway[name].as_str().unwrap_or_default().to_owned();
    let all = convergence["by_gateway"].as_array().map(Vec::as_slice).unwrap_or_default();
    let active: Vec<&Value> = all.iter().filter(|gateway| text(gateway, "state") == "active").collect();
    let connected = |gateway: &&&Value| text(gateway, "connection") == "connected";
    let late = |gateway: &&&Value| text(gateway, "connection") == "late";
    let mut counted: Vec<&Value> = active.iter().filter(connected).copied().collect();
    if counted.is_empty() {
        // Nobody is connected, as after a restart of Central: those heard a moment ago are about to come back.
        counted = active.iter().filter(late).copied().collect();
    }
    if counted.is_empty() {
        counted.clone_from(&active);
    }
    let missing: Vec<Missing> = counted
        .iter()
        .filter(|gateway| gateway[progress].as_bool() != Some(true))
        .map(|gateway| {
            let connection = text(gateway, "connection");
            let refusal = &gateway["refusal"];
            let words: Vec<String> = ["code", "item", "reason"]
                .iter()
                .map(|name| text(refusal, name))
                .filter(|word| !word.is_empty())
                .collect();
            let refusal = refusal.is_object().then(|| words.join(": "));
            Missing { name: text(gateway, "name"), connection, refusal }
        })
        .collect();
    if !missing.is_empty() {
        return Standing::Missing(missing);
    }
    let gateways: Vec<String> = counted.iter().map(|gateway| text(gateway, "name")).collect();
    let passed_over =
        active.iter().map(|gateway| text(gateway, "name")).filter(|name| !gateways.contains(name)).collect();
    Standing::Done { gateways, passed_over }
}

fn failure(outcome: &Value, progress: &str, missing: &[Missing]) -> Failure {
    let told: Vec<String> = missing
        .iter()
        .map(|gateway| match &gateway.refusal {
            Some(reason) => format!("{} refuses it ({reason})", gateway.name),
            None if gateway.connection == "connected" => format!("{} is behind", gateway.name),
            None => format!("{} is not connected ({})", gateway.name, gateway.connection),
        })
        .collect();
    let revision = &outcome["revision"];
    let detail = format!("revision {revision} is published, but not {progress} everywhere: {}", told.join(", "));
    let gateways: Vec<Value> =
        missing.iter().map(|gateway| json!({ "name": gateway.name, "refusal": gateway.refusal })).collect();
    Failure::Refused(Problem::from_service(json!({
        "type": "about:blank", "title": "Not converged", "detail": detail, "code": "not-converged",
        "revision": revision, "gateways": gateways,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(name: &str, state: &str, connection: &str, applied: bool, refusal: &Value) -> Value {
        json!({ "name": name, "state": state, "connection": connection, "applied": applied, "refusal": refusal })
    }

    fn of(gateways: &[Value]) -> Standing {
        judge(&json!({ "by_gateway": gateways }), "applied")
    }

    #[test]
    fn every_active_connected_gateway_counts_and_no_other() {
        let standing = of(&[
            gateway("a", "active", "connected", true, &Value::Null),
            gateway("b", "active", "lost", false, &Value::Null),
            gateway("c", "pending", "connected", false, &Value::Null),
        ]);
        assert_eq!(standing, Standing::Done { gateways: vec!["a".into()], passed_over: vec!["b".into()] });
    }

    #[test]
    fn who_lags_and_who_refuses_is_told_with_the_reason() {
        let why = json!({ "code": "unreadable", "item": "payroll", "reason": "unknown field" });
        let Standing::Missing(missing) = of(&[
            gateway("a", "active", "connected", false, &Value::Null),
            gateway("b", "active", "connected", false, &why),
        ]) else {
            panic!("nobody has it");
        };
        let Failure::Refused(problem) = failure(&json!({ "revision": 7 }), "applied", &missing) else {
            panic!("it is a refusal");
        };
        let told = format!("{problem:?}");
        assert!(told.contains("a is behind"), "{told}");
        assert!(told.contains("b refuses it (unreadable: payroll: unknown field)"), "{told}");
    }

    #[test]
    fn where_nobody_is_connected_those_heard_a_moment_ago_are_waited_for() {
        let standing = of(&[gateway("a", "active", "late", false, &Value::Null)]);
        let missing = Missing { name: "a".into(), connection: "late".into(), refusal: None };
        assert_eq!(standing, Standing::Missing(vec![missing]));
    }

    #[test]
    fn a_fleet_that_is_lost_has_not_converged() {
        let standing = of(&[gateway("a", "active", "lost", false, &Value::Null)]);
        let missing = Missing { name: "a".into(), connection: "lost".into(), refusal: None };
        assert_eq!(standing, Standing::Missing(vec![missing]));
    }

    #[test]
    fn without_an_active_gateway_there_is_nobody_to_wait_for() {
        let standing = of(&[gateway("a", "pending", "lost", false, &Value::Null)]);
        assert_eq!(standing, Standing::Done { gateways: Vec::new(), passed_over: Vec::new() });
    }
}

//! `sealgate gateway`: the fleet as Central sees it.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::args::GatewayCommand;
use crate::failure::Failure;
use crate::output::{Output, ago, fields, rfc3339, size, table};
use crate::target::Targets;

const COLUMNS: [&str; 8] =
    ["name", "state", "connection", "version", "labels", "revision", "effective_revision", "refusal"];

/// Carries the command out.
pub(crate) async fn run(command: GatewayCommand, targets: &Targets, out: &Output) -> Result<ExitCode, Failure> {
    match command {
        GatewayCommand::List => {
            let all = targets.central()?.pages(&["gateways"], "gateways", "after").await?;
            out.print(&all, |all| {
                let mut rows = all["gateways"].clone();
                for row in rows.as_array_mut().into_iter().flatten() {
                    row["refusal"] = row["refusal"]["reason"].clone();
                    row["labels"] = json!(words(&row["labels"]));
                }
                table(&rows, &COLUMNS)
            })?;
        }
        GatewayCommand::Status => {
            let gateway = targets.gateway()?;
            let mut status = gateway.get(&["info"], &[]).await?;
            status["central"] = gateway.get(&["central"], &[]).await?;
            out.print(&status, shown)?;
        }
        GatewayCommand::Token { name, ttl, label } => {
            let mut body = json!({ "ttl_seconds": ttl.as_secs(), "labels": labels(&label)? });
            if ttl.as_secs() == 0 {
                return Err(Failure::Usage("--ttl is at least 1s".to_owned()));
            }
            if let Some(name) = name {
                body["name"] = json!(name);
            }
            let issued = targets.central()?.post(&["enrolment-tokens"], &body).await?;
            out.print(&issued, fields)?;
        }
        GatewayCommand::Label { name, labels: given, clear } => {
            let central = targets.central()?;
            let gateway = if given.is_empty() && !clear {
                central.get(&["gateways", &name], &[]).await?
            } else {
                let body = json!({ "labels": labels(&given)? });
                central.call(Method::PUT, &["gateways", &name, "labels"], &[], Some(&body), None).await?.body
            };
            out.print(&gateway, |gateway| match words(&gateway["labels"]) {
                none if none.is_empty() => format!("{name} has no labels"),
                _ => fields(&gateway["labels"]),
            })?;
        }
        GatewayCommand::Suspend { name } => order(targets, out, &name, "suspend").await?,
        GatewayCommand::Resume { name } => order(targets, out, &name, "resume").await?,
        GatewayCommand::Retire { name } => order(targets, out, &name, "retire").await?,
        GatewayCommand::Release { name } => order(targets, out, &name, "release").await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A gateway's own view for a person: what is wrong first.
fn shown(status: &Value) -> String {
    let troubles = match status["troubles"].as_array() {
        Some(troubles) if !troubles.is_empty() => table(&status["troubles"], &["part", "message"]),
        _ => "All is well.\n".to_owned(),
    };
    let scalars = |value: &Value| {
        let plain =
            value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_object() && !value.is_array());
        fields(&plain.map(|(name, value)| readable(name, value)).collect::<Map<_, _>>().into())
    };
    let failed = match status["failed_start"]["message"].as_str() {
        Some(message) => format!("\nThe start before this one came to nothing: {message}\n"),
        None => String::new(),
    };
    format!("{troubles}{failed}\nGateway\n{}\n\nCentral\n{}\n", scalars(status), scalars(&status["central"]))
}

/// A field under the name and with the value that a person reads: times and ages without their unit.
fn readable(name: &str, value: &Value) -> (String, Value) {
    let time = |short: &str| (short.to_owned(), json!(value.as_i64().and_then(rfc3339)));
    match name {
        "certificate_until_ms" => time("certificate_until"),
        "since_ms" => time("since"),
        "reported_ms" => time("reported"),
        "document_age_ms" => ("document_known".to_owned(), json!(value.as_u64().map(|age| ago(age / 1_000)))),
        "age_s" => ("policies_received".to_owned(), json!(value.as_u64().map(ago))),
        "spool_bytes" => ("spool".to_owned(), json!(value.as_u64().map(size))),
        _ => (name.to_owned(), value.clone()),
    }
}

async fn order(targets: &Targets, out: &Output, name: &str, order: &str) -> Result<(), Failure> {
    let gateway = targets.central()?.post(&["gateways", name, order], &json!({})).await?;
    out.print(&gateway, |gateway| table(&json!([gateway]), &["name", "state", "connection"]))
}

/// The opposite of [`labels`], in one cell.
fn words(labels: &Value) -> String {
    let pair = |(key, value): (&String, &Value)| format!("{key}={}", value.as_str().unwrap_or_default());
    labels.as_object().into_iter().flatten().map(pair).collect::<Vec<_>>().join(",")
}

/// `k=v` words as an object.
fn labels(words: &[String]) -> Result<Value, Failure> {
    let mut labels = Map::new();
    for word in words {
        let pair = word.split_once('=').filter(|(key, value)| !key.is_empty() && !value.is_empty());
        let (key, value) = pair.ok_or_else(|| Failure::Usage(format!("the label {word:?} is not of the form k=v")))?;
        if labels.insert(key.to_owned(), json!(value)).is_some() {
            return Err(Failure::Usage(format!("the label {key} is given twice")));
        }
    }
    Ok(Value::Object(labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_gateway_comes_first() {
        let mut status = json!({ "troubles": [], "version": "1", "central": { "connected": true, "labels": {} } });
        assert!(shown(&status).starts_with("All is well."));
        assert!(shown(&status).contains("connected  yes"));
        status["central"]["certificate_until_ms"] = json!(1_767_323_045_678_i64);
        status["central"]["age_s"] = json!(150);
        let text = shown(&status);
        assert!(text.contains("certificate_until  2026-01-02T03:04:05Z") && text.contains("2 min ago"), "{text}");
        status["troubles"] = json!([{ "part": "kms main", "message": "it does not answer" }]);
        status["failed_start"] = json!({ "at_ms": 1, "message": "the port is taken" });
        let text = shown(&status);
        assert!(text.starts_with("PART"), "{text}");
        assert!(text.contains("kms main") && text.contains("the port is taken"), "{text}");
    }

    #[test]
    fn a_label_is_one_key_and_one_value() {
        let given = |words: &[&str]| labels(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(given(&["site=bonn", "tier=a=b"]).expect("legal"), json!({ "site": "bonn", "tier": "a=b" }));
        assert_eq!(words(&given(&["tier=a=b", "site=bonn"]).expect("legal")), "site=bonn,tier=a=b");
        assert_eq!(words(&json!({})), "");
        for bad in [&["site"][..], &["=x"], &["site="], &["a=1", "a=2"]] {
            assert!(matches!(given(bad), Err(Failure::Usage(_))), "{bad:?}");
        }
    }
}

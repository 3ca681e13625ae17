//! `sealgate gateway`: the fleet as Central sees it.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use crate::args::GatewayCommand;
use crate::failure::Failure;
use crate::output::{Output, fields, table};
use crate::target::Targets;

/// Carries the command out.
pub(crate) async fn run(command: GatewayCommand, targets: &Targets, out: &Output) -> Result<ExitCode, Failure> {
    match command {
        GatewayCommand::List => {
            let all = targets.central()?.pages(&["gateways"], "gateways", "after").await?;
            out.print(&all, |all| {
                let mut rows = all["gateways"].clone();
                for row in rows.as_array_mut().into_iter().flatten() {
                    let reason = row["refusal"]["reason"].clone();
                    if let Some(row) = row.as_object_mut() {
                        row.insert("refusal".to_owned(), reason);
                    }
                }
                table(&rows, &["name", "state", "connection", "version", "revision", "effective_revision", "refusal"])
            });
        }
        GatewayCommand::Status => {
            let gateway = targets.gateway()?;
            let mut status = gateway.get(&["info"], &[]).await?;
            status["central"] = gateway.get(&["central"], &[]).await?;
            out.print(&status, shown);
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
            out.print(&issued, fields);
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
        fields(&plain.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into())
    };
    let failed = match status["failed_start"]["message"].as_str() {
        Some(message) => format!("\nThe start before this one came to nothing: {message}\n"),
        None => String::new(),
    };
    format!("{troubles}{failed}\nGateway\n{}\n\nCentral\n{}\n", scalars(status), scalars(&status["central"]))
}

async fn order(targets: &Targets, out: &Output, name: &str, order: &str) -> Result<(), Failure> {
    let gateway = targets.central()?.post(&["gateways", name, order], &json!({})).await?;
    out.print(&gateway, |gateway| table(&json!([gateway]), &["name", "state", "connection"]));
    Ok(())
}

/// `k=v` words as an object.
fn labels(words: &[String]) -> Result<Value, Failure> {
    let mut labels = Map::new();
    for word in words {
        let pair = word.split_once('=').filter(|(key, value)| !key.is_empty() && !value.is_empty());
        let (key, value) = pair.ok_or_else(|| Failure::Usage(format!("--label {word:?} is not of the form k=v")))?;
        if labels.insert(key.to_owned(), json!(value)).is_some() {
            return Err(Failure::Usage(format!("--label {key} is given twice")));
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
        for bad in [&["site"][..], &["=x"], &["site="], &["a=1", "a=2"]] {
            assert!(matches!(given(bad), Err(Failure::Usage(_))), "{bad:?}");
        }
    }
}

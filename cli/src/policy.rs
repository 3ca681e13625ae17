//! `sealgate policy`: governance policies at Central.
//!
//! ```text
//! files ──policy::parse──▶ problems with file:line:column │ one text ──apply──▶ Central ──▶ revision
//!                                                                      --wait: poll /convergence ◀──┘
//! ```

use std::fmt::Write;
use std::process::ExitCode;

use reqwest::Method;
use serde_json::{Value, json};

use crate::args::PolicyCommand;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Output, table};
use crate::target::Targets;

mod files;
mod wait;

/// Carries the command out.
pub(crate) async fn run(command: PolicyCommand, targets: &Targets, out: &Output) -> Result<ExitCode, Failure> {
    match command {
        PolicyCommand::Check { files } => {
            let read = files::read(&files)?;
            out.print(&read.report(), |report| {
                let mut text = String::new();
                for advice in report["advice"].as_array().into_iter().flatten() {
                    let word = |name: &str| advice[name].as_str().unwrap_or_default().to_owned();
                    let (line, column) = (&advice["line"], &advice["column"]);
                    let (file, code, message) = (word("file"), word("code"), word("message"));
                    let _ = writeln!(text, "{file}:{line}:{column}: {code}: {message}");
                }
                let _ = writeln!(text, "valid: {}", names(&report["policies"]));
                text
            })?;
        }
        PolicyCommand::Apply { files, prune, if_revision, wait } => {
            let read = files::read(&files)?;
            let central = targets.central()?;
            let query: &[(&str, &str)] = if prune { &[("prune", "true")] } else { &[] };
            let text = read.text()?;
            // What is not in the files is deleted: only what was there when this began.
            let known =
                if prune || if_revision.is_some() { Some(Known::set(&central, if_revision).await?) } else { None };
            let etag = known.as_ref().map(|known| known.etag.as_str());
            let applied = central.post_text(&["policy-set", "apply"], query, text, etag).await;
            let outcome = applied.map_err(|failure| Known::told(known.as_ref(), failure))?;
            published(out, &wait::until(&central, outcome, &wait).await?)?;
        }
        PolicyCommand::Delete { name, wait } => {
            let central = targets.central()?;
            let known = Known::policy(&central, &name).await?;
            let answer = central.call(Method::DELETE, &["policies", &name], &[], None, Some(&known.etag)).await;
            let answer = answer.map_err(|failure| Known::told(Some(&known), failure))?;
            published(out, &wait::until(&central, answer.body, &wait).await?)?;
        }
        PolicyCommand::Rollback { revision, wait } => {
            let central = targets.central()?;
            let known = Known::set(&central, None).await?;
            let order = json!({ "revision": revision });
            let path = ["policy-set", "rollback"];
            let answer = central.call(Method::POST, &path, &[], Some(&order), Some(&known.etag)).await;
            let answer = answer.map_err(|failure| Known::told(Some(&known), failure))?;
            published(out, &wait::until(&central, answer.body, &wait).await?)?;
        }
        PolicyCommand::BeginLineage { confirm, wait } => {
            let central = targets.central()?;
            let set = central.get(&["policy-set"], &[]).await?;
            confirmed(&set, confirm.as_deref())?;
            let outcome = central.post(&["policy-set", "lineage"], &json!({ "instead_of": set["lineage"] })).await?;
            published(out, &wait::until(&central, outcome, &wait).await?)?;
        }
        PolicyCommand::List => {
            let all = targets.central()?.pages(&["policies"], "policies", "after").await?;
            out.print(&all, |all| {
                table(
                    &all["policies"],
                    &["name", "mode", "effect", "priority", "changed_in", "updated_at", "updated_by"],
                )
            })?;
        }
        PolicyCommand::Get { name } => {
            let policy = targets.central()?.get(&["policies", &name], &[]).await?;
            out.print(&policy, |policy| policy["source"].as_str().unwrap_or_default().to_owned())?;
        }
        PolicyCommand::History => {
            let all = targets.central()?.pages(&["policy-set", "revisions"], "revisions", "before").await?;
            out.print(&all, history)?;
        }
        PolicyCommand::Diff { a, b } => {
            let (from, to) = (a.to_string(), b.to_string());
            let query = [("from", from.as_str()), ("to", to.as_str())];
            let diff = targets.central()?.get(&["policy-set", "diff"], &query).await?;
            out.print(&diff, difference)?;
        }
        PolicyCommand::Explain { file } => {
            let request = files::read_request(&file)?;
            let explanation = targets.central()?.post_text(&["policy-set", "explain"], &[], request, None).await?;
            out.print(&explanation, explained)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What was there when a command began, so that it changes nothing that somebody else has written since.
struct Known {
    etag: String,
    /// How to see what the other editor did.
    look: String,
}

impl Known {
    /// The whole set, at `revision` where that is what the caller has seen.
    async fn set(central: &Client, revision: Option<u64>) -> Result<Self, Failure> {
        let set = central.get(&["policy-set"], &[]).await?;
        let lineage = set["lineage"].as_str().unwrap_or_default();
        let number = revision.map_or_else(|| set["revision"].to_string(), |revision| revision.to_string());
        Ok(Self {
            etag: format!("\"{number}@{lineage}\""),
            look: format!(
                "this command was to change revision {number}; sealgate policy history shows what came after it"
            ),
        })
    }

    /// One policy.
    async fn policy(central: &Client, name: &str) -> Result<Self, Failure> {
        let policy = central.get(&["policies", name], &[]).await?;
        let (number, lineage) = (&policy["changed_in"], policy["lineage"].as_str().unwrap_or_default());
        Ok(Self {
            etag: format!("\"{number}@{lineage}\""),
            look: format!(
                "this command was to delete what revision {number} wrote; sealgate policy get {name} shows what is there now"
            ),
        })
    }

    /// The failure, with what to do where another editor was faster.
    fn told(known: Option<&Self>, failure: Failure) -> Failure {
        match known {
            Some(known) => failure.overtaken(&format!(
                "Somebody else changed it: {}. If the command still is right, run it again.",
                known.look
            )),
            None => failure,
        }
    }
}

/// Refuses to end the lineage of `set` where it is not named.
fn confirmed(set: &Value, confirm: Option<&str>) -> Result<(), Failure> {
    let lineage = set["lineage"].as_str().unwrap_or_default();
    match confirm {
        Some(named) if named == lineage => Ok(()),
        Some(named) => {
            Err(Failure::refused(format!("Central's lineage is {lineage}, and not {named}; nothing was changed")))
        }
        None => Err(Failure::Usage(format!(
            "nothing was changed. A new lineage is for ever: Central's set, revision {}, becomes its first revision, and \
             every gateway takes it whatever it holds, also where that is newer. Look at the set first (sealgate policy \
             list). To do it: --confirm {lineage}",
            set["revision"]
        ))),
    }
}

/// What a change did to the set.
fn published(out: &Output, outcome: &Value) -> Result<(), Failure> {
    out.print(outcome, |outcome| {
        let mut text = format!("revision {}\n", outcome["revision"]);
        for what in ["changed", "unchanged", "deleted"] {
            if outcome[what].as_array().is_some_and(|list| !list.is_empty()) {
                let _ = writeln!(text, "{what}: {}", names(&outcome[what]));
            }
        }
        if let Some(waited) = outcome.get("waited") {
            let what = waited["for"].as_str().unwrap_or_default();
            let _ = writeln!(text, "{what} on: {}", names(&waited["gateways"]));
            if waited["passed_over"].as_array().is_some_and(|list| !list.is_empty()) {
                let _ = writeln!(text, "not connected, not waited for: {}", names(&waited["passed_over"]));
            }
        }
        text
    })
}

fn names(list: &Value) -> String {
    let words: Vec<&str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

fn history(all: &Value) -> String {
    let mut rows = all["revisions"].clone();
    for row in rows.as_array_mut().into_iter().flatten() {
        let changes: Vec<String> = row["changes"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|change| {
                let word = |name: &str| change[name].as_str().unwrap_or_default();
                format!("{} {}", word("change"), word("name"))
            })
            .collect();
        // Central cuts off what is told of very many changes at once.
        let more = if row["truncated"] == true { " and possibly more: see policy diff" } else { "" };
        row["changes"] = json!(format!("{}{more}", changes.join(", ")));
    }
    table(&rows, &["number", "created_at", "created_by", "cause", "restores", "changes"])
}

fn difference(diff: &Value) -> String {
    let mut text = String::new();
    for policy in diff["policies"].as_array().into_iter().flatten() {
        let word = |name: &str| policy[name].as_str().unwrap_or_default();
        let _ = writeln!(text, "{} {}", word("change"), word("name"));
        for line in word("text").lines() {
            let _ = writeln!(text, "{line}");
        }
    }
    if text.is_empty() { "no difference\n".to_owned() } else { text }
}

fn explained(explanation: &Value) -> String {
    let decision = &explanation["decision"];
    let verdict = decision["verdict"].as_str().unwrap_or_default();
    let by = decision["policy"]["name"].as_str().or_else(|| decision["policy"].as_str());
    let by = by.map(|name| format!(" by {name}")).unwrap_or_default();
    let columns = ["name", "mode", "effect", "priority", "applies", "recorded", "reason", "message"];
    let mut rows = explanation["policies"].clone();
    for row in rows.as_array_mut().into_iter().flatten() {
        // A reason is a word, or an object whose type is the word.
        if let Some(word) = row["reason"]["type"].as_str().map(str::to_owned) {
            row["reason"] = json!(word);
        }
    }
    format!("{verdict}{by} (revision {})\n{}", explanation["revision"]["number"], table(&rows, &columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lineage_ends_only_where_it_is_named() {
        let set = json!({ "lineage": "0d4f", "revision": 7 });
        assert!(confirmed(&set, Some("0d4f")).is_ok());
        assert!(matches!(confirmed(&set, Some("0d4e")), Err(Failure::Refused(_))));
        let Err(Failure::Usage(said)) = confirmed(&set, None) else { panic!("it must be confirmed") };
        assert!(said.contains("for ever") && said.contains("revision 7") && said.ends_with("--confirm 0d4f"), "{said}");
    }
}

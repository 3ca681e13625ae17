//! `sealgate bucket`: the buckets behind a gateway, and their encryption.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::json;

use crate::args::{BucketCommand, OnOff};
use crate::failure::Failure;
use crate::output::{Output, fields, new_objects, table};
use crate::target::Targets;

/// Carries the command out.
pub(crate) async fn run(command: BucketCommand, targets: &Targets, out: &Output) -> Result<ExitCode, Failure> {
    let gateway = targets.gateway()?;
    match command {
        BucketCommand::List => {
            let all = gateway.get(&["buckets"], &[]).await?;
            out.print(&all, |all| {
                let mut rows = all["buckets"].clone();
                for row in rows.as_array_mut().into_iter().flatten() {
                    row["new_objects"] = json!(new_objects(row));
                }
                let columns = ["bucket", "encrypt", "new_objects", "because", "objects_encrypted", "objects_plain"];
                table(&rows, &columns)
            })?;
        }
        BucketCommand::Encrypt { name, switch } => {
            let body = json!({ "encrypt": switch == OnOff::On });
            let path = ["buckets", &name, "encryption"];
            let bucket = gateway.call(Method::PUT, &path, &[], Some(&body), None).await?.body;
            out.print(&bucket, fields)?;
        }
        BucketCommand::Status { name } => {
            let bucket = gateway.get(&["buckets", &name], &[]).await?;
            out.print(&bucket, fields)?;
        }
        BucketCommand::Create { name } => {
            let bucket = gateway.post(&["buckets"], &json!({ "bucket": name })).await?;
            out.print(&bucket, fields)?;
        }
        BucketCommand::Delete { name, confirm } => {
            let query = [("confirm", confirm.as_str())];
            gateway.call(Method::DELETE, &["buckets", &name], &query, None, None).await?;
            out.print(&json!({ "removed": name }), fields)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

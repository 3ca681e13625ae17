//! `sealgate bucket`: encryption of the buckets behind a gateway.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::json;

use crate::args::{BucketCommand, OnOff};
use crate::failure::Failure;
use crate::output::{Output, fields, table};
use crate::target::Targets;

/// Carries the command out.
pub(crate) async fn run(command: BucketCommand, targets: &Targets, out: &Output) -> Result<ExitCode, Failure> {
    let gateway = targets.gateway()?;
    match command {
        BucketCommand::List => {
            let all = gateway.get(&["buckets"], &[]).await?;
            out.print(&all, |all| {
                let columns = ["bucket", "encrypt", "effective", "because", "objects_encrypted", "objects_plain"];
                table(&all["buckets"], &columns)
            });
        }
        BucketCommand::Encrypt { name, switch } => {
            let body = json!({ "encrypt": switch == OnOff::On });
            let path = ["buckets", &name, "encryption"];
            let bucket = gateway.call(Method::PUT, &path, &[], Some(&body), None).await?.body;
            out.print(&bucket, fields);
        }
        BucketCommand::Status { name } => {
            let bucket = gateway.get(&["buckets", &name], &[]).await?;
            out.print(&bucket, fields);
        }
    }
    Ok(ExitCode::SUCCESS)
}

//! `bench policy`: what one decision costs, with 1, 100 and 1,000 policies.
//!
//! Two cases: `one-bucket`, where every policy covers the bucket and all conditions are evaluated, and `spread`, where
//! each policy names buckets of its own and the index leaves one.

use std::hint::black_box;
use std::time::Instant;

use ids::{Lineage, PolicyUid, Revision};
use policy::{Engine, Facts, Item, Labels, PolicySet};
use serde::Serialize;

use crate::report::{median, print};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Policies looked at in one round, over as many decisions as that takes. Short rounds are seldom interrupted.
    #[arg(long, default_value_t = Self::default().policies)]
    policies: usize,
    /// How many rounds; the median counts.
    #[arg(long, default_value_t = Self::default().rounds)]
    rounds: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { policies: 5_000, rounds: 1_000 }
    }
}

#[derive(Serialize)]
struct Cost {
    bench: &'static str,
    case: &'static str,
    policies: usize,
    ns_per_decision: f64,
}

/// Conditions as administrators write them; none holds for the object below, so that every policy is looked at.
const CONDITIONS: [&str; 5] = [
    r#"object.key.startsWith("payroll/") || object.tags["classification"] in ["pii", "secret"]"#,
    r#"object.contentType == "application/x-archive" && object.size > 1048576"#,
    r#"request.operation == "CopyObject" && request.principal != "backup""#,
    r#"object.key.matches("^(invoices|orders)/[0-9]{4}/") && !has(object.tags.public)"#,
    r#"object.metadata["department"] == "legal" || object.key.endsWith(".key")"#,
];

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    for policies in [1, 100, 1_000] {
        for (case, spread) in [("one-bucket", false), ("spread", true)] {
            let engine = Engine::compile(&set(policies, spread)?, &Labels::new());
            print(&Cost { bench: "policy", case, policies, ns_per_decision: measure(args, policies, &engine) })?;
        }
    }
    Ok(())
}

fn set(policies: usize, spread: bool) -> anyhow::Result<PolicySet> {
    let mut items = Vec::with_capacity(policies);
    for n in 0..policies {
        let condition = CONDITIONS[n % CONDITIONS.len()];
        let bucket = if spread { format!("team-{n}-*") } else { "team-*".to_owned() };
        let text = format!(
            "apiVersion: sealgate.dev/v1\nkind: GovernancePolicy\nmetadata: {{name: policy-{n}}}\n\
             spec:\n  priority: {}\n  buckets: ['{bucket}']\n  when: >-\n    {condition}\n  effect: encrypt\n",
            n % 10
        );
        items.push(Item { uid: PolicyUid::random(), policy: policy::parse_one(&text)? });
    }
    Ok(PolicySet::new(Revision { lineage: Lineage::random(), number: 1 }, items)?)
}

/// Nanoseconds of one decision: the median of the rounds.
fn measure(args: &Args, policies: usize, engine: &Engine) -> f64 {
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let (tags, metadata) = (pairs(&[("owner", "ann"), ("stage", "draft")]), pairs(&[("department", "sales")]));
    let facts = Facts {
        size: Some(8 << 20),
        content_type: "application/octet-stream",
        tags: &tags,
        metadata: &metadata,
        principal: "ann",
        ..Facts::new("team-0-data", "reports/2026/01/quarterly-figures.parquet")
    };
    let decisions = u32::try_from(args.policies / policies).unwrap_or(u32::MAX).max(1);
    let round = |_| {
        let begun = Instant::now();
        for _ in 0..decisions {
            black_box(engine.decide(black_box(&facts)));
        }
        begun.elapsed().as_secs_f64() * 1e9 / f64::from(decisions)
    };
    median(&mut (0..args.rounds.max(1)).map(round).collect::<Vec<f64>>())
}

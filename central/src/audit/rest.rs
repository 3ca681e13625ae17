//! The audit over REST: pages for people, the whole for verification.

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::{Filter, Record, export_page, store};
use crate::app::App;
use crate::caller::Permit;
use crate::error::{Error, Problem};

/// Records of one page, at most.
const PAGE: u32 = 1_000;

/// Which records.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Sequences below this.
    before: Option<u64>,
    /// At most so many; 1 to 1,000.
    limit: Option<u32>,
    /// Exactly this actor, such as `operator:admin`.
    actor: Option<String>,
    /// Exactly this action, such as `policy.changed`.
    action: Option<String>,
    /// Exactly this subject.
    subject: Option<String>,
    /// A part of the subject.
    #[serde(default)]
    q: String,
    /// Not before this (RFC 3339).
    #[serde(default, with = "time::serde::rfc3339::option")]
    since: Option<OffsetDateTime>,
    /// Before this.
    #[serde(default, with = "time::serde::rfc3339::option")]
    until: Option<OffsetDateTime>,
}

/// From where.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct From {
    /// Sequences above this; absent: from the first.
    after: Option<u64>,
}

/// Records, newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Records {
    /// Each as in the export.
    #[schema(value_type = Vec<Object>)]
    pub records: Vec<Box<RawValue>>,
    /// `before` of the next page; null at the end.
    pub next: Option<u64>,
}

/// Records, newest first.
#[utoipa::path(
    get, path = "/audit", tag = "audit", params(Question),
    responses((status = 200, body = Records), (status = 403, body = Problem))
)]
pub async fn list(
    State(app): State<App>,
    Extension(_permit): Extension<Permit>,
    Query(question): Query<Question>,
) -> Result<Json<Records>, Error> {
    let limit = question.limit.unwrap_or(100).clamp(1, PAGE);
    let filter = Filter {
        actor: question.actor,
        action: question.action,
        subject: question.subject,
        part: question.q,
        since: question.since,
        until: question.until,
    };
    let mut records = store::list(&app.db, &filter, question.before, limit + 1).await?;
    let more = records.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        records.pop();
    }
    let next = records.last().filter(|_| more).map(|record| record.sequence);
    let lines = records.iter().map(|record| {
        RawValue::from_string(record.export_line()?).map_err(|error| Error::internal("a line of the audit", error))
    });
    Ok(Json(Records { records: lines.collect::<Result<_, Error>>()?, next }))
}

/// Every record from the oldest on, one JSON object a line; `sealgate audit verify` checks the chain without Central.
#[utoipa::path(
    get, path = "/audit/export", tag = "audit", params(From),
    responses((status = 200, body = String, content_type = "application/x-ndjson"), (status = 403, body = Problem))
)]
pub async fn export(
    State(app): State<App>,
    Extension(_permit): Extension<Permit>,
    Query(from): Query<From>,
) -> Result<Response, Error> {
    let first = export_page(&app.db, from.after.unwrap_or(0), PAGE).await?;
    // A page is read when the one before was taken; a failure breaks the transfer off, so that a part is never taken
    // for the whole.
    let pages = stream::try_unfold(Some(first), move |page: Option<Vec<Record>>| {
        let db = app.db.clone();
        async move {
            let Some(page) = page else { return Ok::<_, Error>(None) };
            let Some(last) = page.last().map(|record| record.sequence) else { return Ok(None) };
            let mut text = String::new();
            for record in &page {
                text.push_str(&record.export_line()?);
                text.push('\n');
            }
            let next = export_page(&db, last, PAGE).await?;
            Ok(Some((Bytes::from(text), Some(next))))
        }
    });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(pages)).into_response())
}

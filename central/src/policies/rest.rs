//! Policies over REST: decode, call, encode.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::header::{ETAG, HeaderMap, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use ids::{Lineage, Revision};
use policy::PolicySet;
use time::OffsetDateTime;

use super::{Policies, Precondition, store};
use crate::caller::Permit;
use crate::db;
use crate::error::{Error, Issue, Kind, Problem};
use crate::stats::store as figures;

mod shapes;
pub use shapes::*;

/// Entries of one page, at most.
const PAGE: u32 = 1_000;
/// Changes that the revisions of one page tell, at most.
const CHANGES: i64 = 10_000;

/// The policies, by name.
#[utoipa::path(get, path = "/policies", tag = "policies", params(ByName), responses((status = 200, body = List)))]
pub async fn list(
    State(policies): State<Policies>,
    Extension(_permit): Extension<Permit>,
    Query(page): Query<ByName>,
) -> Result<Response, Error> {
    let set = policies.current().await?;
    let limit = page_size(page.limit);
    let after = page.after.unwrap_or_default();
    let asked = |item: &&policy::Item| {
        let mode = item.policy.document().spec.mode;
        item.policy.name().contains(&page.q) && page.mode.is_none_or(|asked| asked.is(mode))
    };
    let total = set.items().iter().filter(asked).count() as u64;
    let mut items: Vec<_> =
        set.items().iter().filter(asked).filter(|item| item.policy.name() > after.as_str()).take(limit + 1).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let names: Vec<String> = items.iter().map(|item| item.policy.name().to_owned()).collect();
    let changes = changes_of(&policies, set.revision(), &names).await?;
    let hits = hits_of(&policies, &names).await?;
    let lines = items.into_iter().map(|item| {
        let document = item.policy.document();
        let change = last(&changes, item.policy.name())?;
        Ok(Line {
            name: item.policy.name().to_owned(),
            uid: item.uid.0,
            description: document.metadata.description.clone(),
            mode: document.spec.mode,
            effect: document.spec.effect,
            priority: document.spec.priority,
            changed_in: change.number,
            updated_at: change.at,
            updated_by: change.by.clone(),
            hits: hits.get(item.policy.name()).copied().unwrap_or_default(),
        })
    });
    let lines = lines.collect::<Result<Vec<_>, Error>>()?;
    let next = lines.last().filter(|_| more).map(|line| line.name.clone());
    let Revision { lineage, number } = set.revision();
    let body = List { lineage: lineage.0, revision: number, policies: lines, next, total };
    Ok(with_etag(set.revision(), StatusCode::OK, Json(body)))
}

/// One policy, with the `ETag` that an edit needs.
#[utoipa::path(
    get, path = "/policies/{name}", tag = "policies", params(("name" = String, Path)),
    responses((status = 200, body = One), (status = 404, body = Problem))
)]
pub async fn get(
    State(policies): State<Policies>,
    Extension(_permit): Extension<Permit>,
    Path(name): Path<String>,
) -> Result<Response, Error> {
    let set = policies.current().await?;
    let item = set.get(&name).ok_or_else(|| Error::not_found("policy", &name))?;
    let changes = changes_of(&policies, set.revision(), std::slice::from_ref(&name)).await?;
    let change = last(&changes, &name)?;
    let Revision { lineage, number } = set.revision();
    let body = One {
        uid: item.uid.0,
        lineage: lineage.0,
        revision: number,
        changed_in: change.number,
        updated_at: change.at,
        updated_by: change.by.clone(),
        source: item.policy.source().to_owned(),
        document: item.policy.document().clone(),
        name,
    };
    Ok(with_etag(Revision { lineage, number: change.number }, StatusCode::OK, Json(body)))
}

/// Writes one policy: the body is its text. `If-Match` with the `ETag` that was read, or `If-None-Match: *` to create.
#[utoipa::path(
    put, path = "/policies/{name}", tag = "policies",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header), ("If-None-Match" = Option<String>, Header)),
    request_body(content = String, content_type = "application/yaml"),
    responses(
        (status = 200, body = Outcome), (status = 201, body = Outcome), (status = 412, body = Problem),
        (status = 422, body = Problem), (status = 428, body = Problem)
    )
)]
pub async fn put(
    State(policies): State<Policies>,
    Extension(permit): Extension<Permit>,
    Path(name): Path<String>,
    headers: HeaderMap,
    text: String,
) -> Result<Response, Error> {
    let precondition = for_policy(&headers, &name)?;
    let published = policies.put(&permit, &name, text, precondition).await?;
    let status = if published.created { StatusCode::CREATED } else { StatusCode::OK };
    // An unchanged policy keeps the ETag of its last change, which the editor has.
    let change = changes_of(&policies, published.revision, std::slice::from_ref(&name)).await?;
    let etag = Revision { number: last(&change, &name)?.number, ..published.revision };
    Ok(with_etag(etag, status, Json(Outcome::from(published))))
}

/// Deletes one policy; `If-Match` with its `ETag`, or `*`.
#[utoipa::path(
    delete, path = "/policies/{name}", tag = "policies",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses(
        (status = 200, body = Outcome), (status = 404, body = Problem), (status = 412, body = Problem),
        (status = 428, body = Problem)
    )
)]
pub async fn delete(
    State(policies): State<Policies>,
    Extension(permit): Extension<Permit>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Outcome>, Error> {
    let precondition = match for_policy(&headers, &name)? {
        Precondition::Absent(_) => {
            return Err(Error::new(Kind::Invalid, "If-None-Match makes no sense with DELETE; send If-Match."));
        }
        known => known,
    };
    policies.delete(&permit, &name, precondition).await.map(Outcome::from).map(Json)
}

/// Writes the policies of a text in one revision: all of them, or none.
#[utoipa::path(
    post, path = "/policy-set/apply", tag = "policies", params(How, ("If-Match" = Option<String>, Header)),
    request_body(content = String, content_type = "application/yaml"),
    responses((status = 200, body = Outcome), (status = 412, body = Problem), (status = 422, body = Problem))
)]
pub async fn apply(
    State(policies): State<Policies>,
    Extension(permit): Extension<Permit>,
    Query(how): Query<How>,
    headers: HeaderMap,
    text: String,
) -> Result<Response, Error> {
    let published = policies.apply(&permit, text, how.prune, for_set(&headers)?).await?;
    Ok(with_etag(published.revision, StatusCode::OK, Json(Outcome::from(published))))
}

/// Publishes the content of an earlier revision as a new one.
#[utoipa::path(
    post, path = "/policy-set/rollback", tag = "policies", params(("If-Match" = Option<String>, Header)),
    request_body = GoBack,
    responses((status = 200, body = Outcome), (status = 404, body = Problem), (status = 412, body = Problem))
)]
pub async fn roll_back(
    State(policies): State<Policies>,
    Extension(permit): Extension<Permit>,
    headers: HeaderMap,
    Json(to): Json<GoBack>,
) -> Result<Response, Error> {
    let published = policies.roll_back(&permit, to.revision, for_set(&headers)?).await?;
    Ok(with_etag(published.revision, StatusCode::OK, Json(Outcome::from(published))))
}

/// Begins a new lineage with the set as it is: for a Central that was restored from an older backup.
#[utoipa::path(
    post, path = "/policy-set/lineage", tag = "policies", request_body = NewLineage,
    responses((status = 200, body = Outcome), (status = 412, body = Problem))
)]
pub async fn begin_lineage(
    State(policies): State<Policies>,
    Extension(permit): Extension<Permit>,
    Json(new): Json<NewLineage>,
) -> Result<Response, Error> {
    let published = policies.begin_lineage(&permit, Lineage(new.instead_of)).await?;
    Ok(with_etag(published.revision, StatusCode::OK, Json(Outcome::from(published))))
}

/// Parses and validates; nothing is stored.
#[utoipa::path(
    post, path = "/policy-set/check", tag = "policies",
    request_body(content = String, content_type = "application/yaml"),
    responses((status = 200, body = Checked), (status = 422, body = Problem))
)]
pub async fn check(Extension(_permit): Extension<Permit>, text: String) -> Result<Json<Checked>, Error> {
    let parsed = super::parse(text).await?;
    Ok(Json(Checked {
        policies: parsed.iter().map(|policy| policy.name().to_owned()).collect(),
        advice: parsed.iter().flat_map(policy::validate).map(|problem| Issue::from(&problem)).collect(),
    }))
}

/// Which policies apply to an object, and why.
#[utoipa::path(
    post, path = "/policy-set/explain", tag = "policies", params(Which),
    request_body(content = Object, content_type = "application/json"),
    responses((status = 200, body = Object), (status = 404, body = Problem), (status = 422, body = Problem))
)]
pub async fn explain(
    State(policies): State<Policies>,
    Extension(_permit): Extension<Permit>,
    Query(which): Query<Which>,
    text: String,
) -> Result<Json<policy::Explanation>, Error> {
    let request = to_explain(&text)?;
    let set = at(&policies, which.revision).await?;
    Ok(Json(policy::explain(&set, request.labels(), &request.facts())))
}

/// Which policies would apply to an object, and why, if the draft were published now. Nothing is stored.
#[utoipa::path(
    post, path = "/policy-set/explain-draft", tag = "policies", request_body = Draft,
    responses((status = 200, body = Object), (status = 422, body = Problem))
)]
pub async fn explain_draft(
    State(policies): State<Policies>,
    Extension(_permit): Extension<Permit>,
    Json(asked): Json<Draft>,
) -> Result<Json<policy::Explanation>, Error> {
    let set = policies.with_draft(asked.draft).await?;
    let request = to_explain(asked.request.get())?;
    Ok(Json(policy::explain(&set, request.labels(), &request.facts())))
}

fn to_explain(text: &str) -> Result<policy::ExplainRequest, Error> {
    let now_ms = i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000)
        .map_err(|error| Error::internal("the clock", error))?;
    policy::ExplainRequest::parse(text, now_ms).map_err(|problems| {
        Error::new(Kind::Rejected, "The request is not acceptable.")
            .code("invalid-request")
            .issues(problems.0.iter().map(Issue::from).collect())
    })
}

/// The whole set at the head, with the `ETag` of the set.
#[utoipa::path(get, path = "/policy-set", tag = "policies", responses((status = 200, body = Set)))]
pub async fn set(State(policies): State<Policies>, Extension(_permit): Extension<Permit>) -> Result<Response, Error> {
    let set = policies.current().await?;
    Ok(with_etag(set.revision(), StatusCode::OK, Json(Set::from(&*set))))
}

/// The whole set at an earlier revision.
#[utoipa::path(
    get, path = "/policy-set/revisions/{number}", tag = "policies", params(("number" = u64, Path)),
    responses((status = 200, body = Set), (status = 404, body = Problem))
)]
pub async fn revision(
    State(policies): State<Policies>,
    Extension(_permit): Extension<Permit>,
    Path(number): Path<u64>,
) -> Result<Json<Set>, Error> {
    Ok(Json(Set::from(&*policies.at(number).await?)))
}

/// Revisions of the present lineage, newest first.
#[utoipa::path(
    get, path = "/policy-set/revisions", tag = "policies", params(Before), responses((status = 200, body = History))
)]
pub async fn history(
    State(policies): State<Policies>,
    Extension(_permit): Extension<Permit>,
    Query(page): Query<Before>,
) -> Result<Json<History>, Error> {
    let mut connection = acquire(&policies).await?;
    let lineage = store::head(&mut connection, false).await?.lineage;
    let limit = page_size(page.limit);
    let asked = u32::try_from(limit + 1).map_err(|error| Error::internal("size of a page", error))?;
    let mut entries = store::history(&mut connection, lineage, page.before, asked).await?;
    let more = entries.len() > limit;
    entries.truncate(limit);
    let (Some(newest), Some(oldest)) = (entries.first(), entries.last()) else {
        return Ok(Json(History { revisions: Vec::new(), next: None }));
    };
    let next = more.then_some(oldest.number);
    let mut changes: HashMap<u64, Vec<EntryChange>> = HashMap::new();
    let found = store::changes(&mut connection, lineage, oldest.number, newest.number, CHANGES + 1).await?;
    // The newest come first: where they are cut off, this revision and all before it are not told wholly.
    let cut_in = usize::try_from(CHANGES).ok().and_then(|most| found.get(most)).map(|beyond| beyond.number);
    for change in db::at_most(found, CHANGES).0 {
        let entry = EntryChange { name: change.name, uid: change.uid, change: change.change };
        changes.entry(change.number).or_default().push(entry);
    }
    let revisions = entries.into_iter().map(|entry| Entry {
        lineage: lineage.0,
        number: entry.number,
        digest: entry.digest,
        created_at: entry.at,
        created_by: entry.by,
        cause: entry.cause,
        restores: entry.restores,
        changes: changes.remove(&entry.number).unwrap_or_default(),
        truncated: cut_in.is_some_and(|cut_in| entry.number <= cut_in),
    });
    Ok(Json(History { revisions: revisions.collect(), next }))
}

/// How two revisions differ, policy by policy.
#[utoipa::path(
    get, path = "/policy-set/diff", tag = "policies", params(Between),
    responses((status = 200, body = Object), (status = 404, body = Problem))
)]
pub async fn diff(
    State(policies): State<Policies>,
    Extension(_permit): Extension<Permit>,
    Query(between): Query<Between>,
) -> Result<Json<policy::SetDiff>, Error> {
    let (from, to) = (policies.at(between.from).await?, at(&policies, between.to).await?);
    super::blocking(move || Ok(Json(policy::diff_sets(&from, &to)))).await
}

/// The JSON Schema of a policy.
#[utoipa::path(get, path = "/policy-set/schema", tag = "policies", responses((status = 200, body = Object)))]
pub async fn schema(Extension(_permit): Extension<Permit>) -> Json<serde_json::Value> {
    Json(policy::json_schema())
}

async fn at(policies: &Policies, number: Option<u64>) -> Result<Arc<PolicySet>, Error> {
    match number {
        Some(number) => policies.at(number).await,
        None => policies.current().await,
    }
}

async fn acquire(policies: &Policies) -> Result<sqlx::pool::PoolConnection<sqlx::Postgres>, Error> {
    policies.db().acquire().await.map_err(|error| Error::database("a connection", error))
}

async fn changes_of(
    policies: &Policies,
    revision: Revision,
    names: &[String],
) -> Result<HashMap<String, store::LastChange>, Error> {
    let mut connection = acquire(policies).await?;
    let changes = store::last_changes(&mut connection, revision.lineage, revision.number, names).await?;
    Ok(changes.into_iter().map(|change| (change.name.clone(), change)).collect())
}

/// Objects that each of these policies was recorded with.
async fn hits_of(policies: &Policies, names: &[String]) -> Result<HashMap<String, Hits>, Error> {
    let most = i64::try_from(names.len() * ids::Outcome::ALL.len()).unwrap_or(i64::MAX);
    let asked = figures::Asked { by: Some("policy-outcome"), policies: Some(names), ..figures::Asked::default() };
    let mut hits: HashMap<String, Hits> = HashMap::new();
    for row in figures::totals(policies.db(), asked, most).await? {
        let (Some(policy), Some(outcome)) = (row.policy, row.outcome) else { continue };
        let hits = hits.entry(policy).or_default();
        let objects = crate::db::unsigned("object_totals", "objects", row.objects)?;
        match figures::outcome(&outcome)? {
            ids::Outcome::Encrypted => hits.encrypted = objects,
            ids::Outcome::WouldEncrypt => hits.would_encrypt = objects,
            ids::Outcome::Denied => hits.denied = objects,
            ids::Outcome::WouldDeny => hits.would_deny = objects,
            ids::Outcome::Error => hits.error = objects,
            _ => {}
        }
    }
    Ok(hits)
}

/// A policy of the set without a change that made it is corrupt, not new.
fn last<'a>(changes: &'a HashMap<String, store::LastChange>, name: &str) -> Result<&'a store::LastChange, Error> {
    changes.get(name).ok_or_else(|| Error::corrupt("policy_changes", "name", anyhow::anyhow!("{name:?} has no change")))
}

fn page_size(limit: Option<u32>) -> usize {
    usize::try_from(limit.unwrap_or(PAGE).clamp(1, PAGE)).unwrap_or(1)
}

/// `"NUMBER@LINEAGE"`: of a policy, the revision that last changed it; of the set, its revision.
fn with_etag(revision: Revision, status: StatusCode, body: impl IntoResponse) -> Response {
    let value = HeaderValue::try_from(format!("\"{revision}\"")).expect("a number and a UUID are legal in a header");
    (status, [(ETAG, value)], body).into_response()
}

fn parse_etag(text: &str) -> Result<Revision, Error> {
    let inner = text.trim().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    inner
        .and_then(|text| text.split_once('@'))
        .and_then(|(number, lineage)| {
            let lineage: Lineage = lineage.parse().ok()?;
            Some(Revision { number: number.parse().ok()?, lineage })
        })
        .ok_or_else(|| Error::new(Kind::Stale, "If-Match is not an ETag of ours; nothing was changed. Read it again."))
}

fn header<'a>(headers: &'a HeaderMap, name: &axum::http::HeaderName) -> Result<Option<&'a str>, Error> {
    let text = headers.get(name).map(HeaderValue::to_str).transpose();
    text.map_err(|_| Error::new(Kind::Invalid, format!("The header {name} is not text.")))
}

fn for_policy(headers: &HeaderMap, name: &str) -> Result<Precondition, Error> {
    match (header(headers, &IF_MATCH)?, header(headers, &IF_NONE_MATCH)?) {
        (Some("*"), None) => Ok(Precondition::Exists(name.to_owned())),
        (Some(etag), None) => Ok(Precondition::Policy(name.to_owned(), parse_etag(etag)?)),
        (None, Some("*")) => Ok(Precondition::Absent(name.to_owned())),
        (None, None) => Err(Error::new(
            Kind::Unconditional,
            "Nothing was changed: send If-Match with the ETag of what you read, or If-None-Match: * to create.",
        )),
        _ => Err(Error::new(Kind::Invalid, "Send either If-Match, or If-None-Match: *.")),
    }
}

fn for_set(headers: &HeaderMap) -> Result<Precondition, Error> {
    match header(headers, &IF_MATCH)? {
        None | Some("*") => Ok(Precondition::Any),
        Some(etag) => parse_etag(etag).map(Precondition::Set),
    }
}

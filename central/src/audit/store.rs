//! SQL of the audit: append, read in order.

use time::OffsetDateTime;

use super::Record;
use crate::db::{self, Tx};
use crate::error::Error;

/// Which records.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Exactly this actor.
    pub actor: Option<String>,
    /// Exactly this action.
    pub action: Option<String>,
    /// Exactly this subject.
    pub subject: Option<String>,
    /// A part of the subject; empty: any.
    pub part: String,
    /// Not before this.
    pub since: Option<OffsetDateTime>,
    /// Before this.
    pub until: Option<OffsetDateTime>,
}

pub(super) async fn append(tx: &mut Tx, record: &Record) -> Result<(), Error> {
    let sequence = db::signed("audit sequence", record.sequence)?;
    let appended = sqlx::query!(
        "insert into audit (sequence, at, actor, action, subject, detail, previous_hash, hash)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        sequence,
        record.at,
        record.actor,
        record.action,
        record.subject,
        record.detail,
        record.previous_hash.as_slice(),
        record.hash.as_slice(),
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| Error::database("append an audit record", error))?;
    db::exactly_one("append an audit record", &appended)?;
    let moved = sqlx::query!("update audit_head set sequence = $1, hash = $2", sequence, record.hash.as_slice())
        .execute(&mut **tx)
        .await
        .map_err(|error| Error::database("move the end of the audit", error))?;
    db::exactly_one("move the end of the audit", &moved)
}

struct Row {
    sequence: i64,
    at: OffsetDateTime,
    actor: String,
    action: String,
    subject: String,
    detail: String,
    previous_hash: Vec<u8>,
    hash: Vec<u8>,
}

impl TryFrom<Row> for Record {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self, Error> {
        let digest = |column, bytes: Vec<u8>| {
            bytes.try_into().map_err(|_| Error::corrupt("audit", column, anyhow::anyhow!("row {}", row.sequence)))
        };
        Ok(Self {
            sequence: db::unsigned("audit", "sequence", row.sequence)?,
            at: row.at,
            previous_hash: digest("previous_hash", row.previous_hash)?,
            hash: digest("hash", row.hash)?,
            actor: row.actor,
            action: row.action,
            subject: row.subject,
            detail: row.detail,
        })
    }
}

/// Up to `limit` records from the one after `after`, oldest first.
pub async fn export_page(db: &sqlx::PgPool, after: u64, limit: u32) -> Result<Vec<Record>, Error> {
    sqlx::query_as!(
        Row,
        "select sequence, at, actor, action, subject, detail, previous_hash, hash
         from audit where sequence > $1 order by sequence limit $2",
        db::signed("audit sequence", after)?,
        i64::from(limit),
    )
    .fetch_all(db)
    .await
    .map_err(|error| Error::database("export the audit", error))?
    .into_iter()
    .map(Record::try_from)
    .collect()
}

/// Up to `limit` records before `before` (all where `None`), newest first.
pub(super) async fn list(
    db: &sqlx::PgPool,
    filter: &Filter,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<Record>, Error> {
    let before = before.map(|before| db::signed("audit sequence", before)).transpose()?;
    sqlx::query_as!(
        Row,
        "select sequence, at, actor, action, subject, detail, previous_hash, hash
         from audit
         where ($1::bigint is null or sequence < $1)
           and ($2::text is null or actor = $2)
           and ($3::text is null or action = $3)
           and ($4::text is null or subject = $4)
           and ($5 = '' or position($5 in subject) > 0)
           and ($6::timestamptz is null or at >= $6)
           and ($7::timestamptz is null or at < $7)
         order by sequence desc limit $8",
        before,
        filter.actor,
        filter.action,
        filter.subject,
        filter.part,
        filter.since,
        filter.until,
        i64::from(limit),
    )
    .fetch_all(db)
    .await
    .map_err(|error| Error::database("list the audit", error))?
    .into_iter()
    .map(Record::try_from)
    .collect()
}

/// Sequence and hash of the newest record; 0 and zeros where there is none.
pub async fn head(db: &sqlx::PgPool) -> Result<(u64, Vec<u8>), Error> {
    let head = sqlx::query!("select sequence, hash from audit_head")
        .fetch_one(db)
        .await
        .map_err(|error| Error::database("read the end of the audit", error))?;
    Ok((db::unsigned("audit_head", "sequence", head.sequence)?, head.hash))
}

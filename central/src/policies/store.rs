//! SQL of the policies. Only [`append`] writes a revision; the head's row lock makes the numbers gapless.

use ids::{Lineage, PolicyUid, Revision};
use policy::Digest;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Cause, Change};
use crate::audit::Actor;
use crate::db::{self, Tx};
use crate::error::Error;

pub(super) async fn begin(db: &PgPool, lineage: Lineage, digest: Digest) -> Result<(), Error> {
    sqlx::query!(
        "insert into policy_head (singleton, lineage, number, digest) values (true, $1, 0, $2) on conflict do nothing",
        lineage.0,
        digest.0.as_slice(),
    )
    .execute(db)
    .await
    .map(drop)
    .map_err(|error| Error::database("begin the first lineage", error))
}

/// The head; `lock`: no other edit happens until the transaction ends.
pub(super) async fn head(connection: &mut PgConnection, lock: bool) -> Result<Revision, Error> {
    let failed = |error| Error::database("read the head of the policies", error);
    let (lineage, number) = if lock {
        let row = sqlx::query!("select lineage, number from policy_head for update").fetch_one(connection).await;
        row.map(|row| (row.lineage, row.number)).map_err(failed)?
    } else {
        let row = sqlx::query!("select lineage, number from policy_head").fetch_one(connection).await;
        row.map(|row| (row.lineage, row.number)).map_err(failed)?
    };
    Ok(Revision { lineage: Lineage(lineage), number: db::unsigned("policy_head", "number", number)? })
}

/// A stored set as it travels.
pub(super) struct Stored {
    pub(super) format: u32,
    pub(super) digest: Digest,
    pub(super) document: Vec<u8>,
}

/// The document of a revision that exists.
pub(super) async fn document(connection: &mut PgConnection, revision: Revision) -> Result<Stored, Error> {
    let row = sqlx::query!(
        "select format, digest, document from policy_revisions where lineage = $1 and number = $2",
        revision.lineage.0,
        db::signed("revision number", revision.number)?,
    )
    .fetch_one(connection)
    .await
    .map_err(|error| Error::database("read a policy revision", error))?;
    let digest = row.digest.try_into().map_err(|_| {
        Error::corrupt("policy_revisions", "digest", anyhow::anyhow!("it has not the length of a SHA-256"))
    })?;
    let format = row.format.try_into().map_err(|error| Error::corrupt("policy_revisions", "format", error))?;
    Ok(Stored { format, digest: Digest(digest), document: row.document })
}

/// Puts the head before the first revision of a new lineage. The caller holds its lock, and appends that revision.
pub(super) async fn move_head(tx: &mut Tx, from: Revision, to: Lineage) -> Result<(), Error> {
    let moved = sqlx::query!(
        "update policy_head set lineage = $3, number = 0 where lineage = $1 and number = $2",
        from.lineage.0,
        db::signed("revision number", from.number)?,
        to.0,
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| Error::database("begin a lineage", error))?;
    db::exactly_one("begin a lineage", &moved)
}

/// A revision to be appended.
pub(super) struct New<'a> {
    pub(super) revision: Revision,
    pub(super) document: &'a [u8],
    pub(super) digest: Digest,
    pub(super) cause: Cause,
    pub(super) actor: &'a Actor,
}

/// Appends a revision and moves the head to it. The caller holds the head's lock.
pub(super) async fn append(tx: &mut Tx, new: &New<'_>) -> Result<(), Error> {
    let number = db::signed("revision number", new.revision.number)?;
    let restores = match new.cause {
        Cause::Rollback(number) => Some(db::signed("revision number", number)?),
        _ => None,
    };
    let format = i32::try_from(policy::FORMAT).map_err(|error| Error::internal("format of a set", error))?;
    let made = sqlx::query!(
        "insert into policy_revisions (lineage, number, document, format, digest, created_by, cause, restores)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        new.revision.lineage.0,
        number,
        new.document,
        format,
        new.digest.0.as_slice(),
        new.actor.as_str(),
        new.cause.as_str(),
        restores,
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| Error::database("append a policy revision", error))?;
    db::exactly_one("append a policy revision", &made)?;
    let moved = sqlx::query!(
        "update policy_head set number = $2, digest = $3 where lineage = $1 and number + 1 = $2",
        new.revision.lineage.0,
        number,
        new.digest.0.as_slice(),
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| Error::database("move the head of the policies", error))?;
    db::exactly_one("move the head of the policies", &moved)
}

/// Says which policies a revision changed.
pub(super) async fn append_changes(
    tx: &mut Tx,
    revision: Revision,
    changes: &[(String, PolicyUid, Change)],
) -> Result<(), Error> {
    let names: Vec<String> = changes.iter().map(|(name, _, _)| name.clone()).collect();
    let uids: Vec<Uuid> = changes.iter().map(|(_, uid, _)| uid.0).collect();
    let words: Vec<String> = changes.iter().map(|(_, _, change)| change.as_str().to_owned()).collect();
    sqlx::query!(
        "insert into policy_changes (lineage, number, name, uid, change)
         select $1, $2, name, uid, change from unnest($3::text[], $4::uuid[], $5::text[]) as t (name, uid, change)",
        revision.lineage.0,
        db::signed("revision number", revision.number)?,
        &names,
        &uids,
        &words,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
    .map_err(|error| Error::database("append changes of policies", error))
}

/// Wakes the other replicas; a mere hint.
pub(super) async fn notify(tx: &mut Tx) -> Result<(), Error> {
    sqlx::query!("select pg_notify('sealgate_policies', '')")
        .execute(&mut **tx)
        .await
        .map(drop)
        .map_err(|error| Error::database("notify of a policy revision", error))
}

/// The last change of a policy that is in the set.
#[derive(Debug, Clone)]
pub(super) struct LastChange {
    pub(super) name: String,
    pub(super) number: u64,
    pub(super) at: OffsetDateTime,
    pub(super) by: String,
}

/// When a policy last changed; `None` where it never was.
pub(super) async fn last_change(
    connection: &mut PgConnection,
    lineage: Lineage,
    name: &str,
) -> Result<Option<LastChange>, Error> {
    let names = [name.to_owned()];
    Ok(last_changes(connection, lineage, u64::MAX >> 1, &names).await?.pop())
}

/// When each of these policies last changed, up to a revision.
pub(super) async fn last_changes(
    connection: &mut PgConnection,
    lineage: Lineage,
    up_to: u64,
    names: &[String],
) -> Result<Vec<LastChange>, Error> {
    let rows = sqlx::query!(
        r#"select n.name as "name!", c.number, r.created_at, r.created_by
           from unnest($3::text[]) as n (name)
           cross join lateral (
               select number from policy_changes
               where lineage = $1 and name = n.name and number <= $2 order by number desc limit 1
           ) c
           join policy_revisions r on r.lineage = $1 and r.number = c.number"#,
        lineage.0,
        db::signed("revision number", up_to)?,
        names,
    )
    .fetch_all(connection)
    .await
    .map_err(|error| Error::database("read the last changes of policies", error))?;
    rows.into_iter()
        .map(|row| {
            Ok(LastChange {
                name: row.name,
                number: db::unsigned("policy_changes", "number", row.number)?,
                at: row.created_at,
                by: row.created_by,
            })
        })
        .collect()
}

/// A revision without its document.
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) digest: String,
    pub(super) at: OffsetDateTime,
    pub(super) by: String,
    pub(super) cause: String,
    pub(super) restores: Option<u64>,
}

/// Revisions below `before`, newest first.
pub(super) async fn history(
    connection: &mut PgConnection,
    lineage: Lineage,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<Entry>, Error> {
    let before = before.map(|before| db::signed("revision number", before)).transpose()?;
    let rows = sqlx::query!(
        "select number, digest, created_at, created_by, cause, restores from policy_revisions
         where lineage = $1 and ($2::bigint is null or number < $2) order by number desc limit $3",
        lineage.0,
        before,
        i64::from(limit),
    )
    .fetch_all(connection)
    .await
    .map_err(|error| Error::database("read the history of the policies", error))?;
    rows.into_iter()
        .map(|row| {
            Ok(Entry {
                number: db::unsigned("policy_revisions", "number", row.number)?,
                digest: hex::encode(row.digest),
                at: row.created_at,
                by: row.created_by,
                cause: row.cause,
                restores: row
                    .restores
                    .map(|number| db::unsigned("policy_revisions", "restores", number))
                    .transpose()?,
            })
        })
        .collect()
}

/// One change of one revision.
pub(super) struct Changed {
    pub(super) number: u64,
    pub(super) name: String,
    pub(super) uid: Uuid,
    pub(super) change: Change,
}

/// What the revisions from `first` to `last` changed, the newest first; at most `limit` changes.
pub(super) async fn changes(
    connection: &mut PgConnection,
    lineage: Lineage,
    first: u64,
    last: u64,
    limit: i64,
) -> Result<Vec<Changed>, Error> {
    let rows = sqlx::query!(
        "select number, name, uid, change from policy_changes
         where lineage = $1 and number between $2 and $3 order by number desc, name limit $4",
        lineage.0,
        db::signed("revision number", first)?,
        db::signed("revision number", last)?,
        limit,
    )
    .fetch_all(connection)
    .await
    .map_err(|error| Error::database("read changes of policies", error))?;
    rows.into_iter()
        .map(|row| {
            let change = match row.change.as_str() {
                "added" => Change::Added,
                "changed" => Change::Changed,
                "removed" => Change::Removed,
                other => return Err(Error::corrupt("policy_changes", "change", anyhow::anyhow!("{other:?}"))),
            };
            let number = db::unsigned("policy_changes", "number", row.number)?;
            Ok(Changed { number, name: row.name, uid: row.uid, change })
        })
        .collect()
}

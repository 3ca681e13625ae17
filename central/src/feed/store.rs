//! Reads the head of the policy set.

use ids::{Lineage, Revision};
use sqlx::PgPool;
use time::OffsetDateTime;

use crate::db;
use crate::error::Error;

/// The head, with its document where it has one.
pub(super) struct Row {
    pub(super) revision: Revision,
    pub(super) digest: [u8; 32],
    /// None at number 0.
    pub(super) stored: Option<Stored>,
}

/// A stored revision.
pub(super) struct Stored {
    pub(super) format: u32,
    pub(super) document: Vec<u8>,
    pub(super) made_at: OffsetDateTime,
}

/// Lineage and number of the head; read at every tick.
pub(super) async fn revision(db: &PgPool) -> Result<Revision, Error> {
    let row = sqlx::query!("select lineage, number from policy_head")
        .fetch_one(db)
        .await
        .map_err(|error| Error::database("read the head of the policies", error))?;
    Ok(Revision { lineage: Lineage(row.lineage), number: db::unsigned("policy_head", "number", row.number)? })
}

/// The head as it is pushed.
pub(super) async fn head(db: &PgPool) -> Result<Row, Error> {
    let row = sqlx::query!(
        r#"select h.lineage, h.number, h.digest, r.format as "format?", r.document as "document?",
                  r.created_at as "made_at?"
           from policy_head h left join policy_revisions r on r.lineage = h.lineage and r.number = h.number"#
    )
    .fetch_one(db)
    .await
    .map_err(|error| Error::database("read the head revision", error))?;
    let number = db::unsigned("policy_head", "number", row.number)?;
    let stored = match (row.format, row.document, row.made_at) {
        (Some(format), Some(document), Some(made_at)) => Some(Stored {
            format: format.try_into().map_err(|error| Error::corrupt("policy_revisions", "format", error))?,
            document,
            made_at,
        }),
        _ if number == 0 => None,
        _ => return Err(Error::corrupt("policy_head", "number", anyhow::anyhow!("there is no such revision"))),
    };
    let digest = row
        .digest
        .try_into()
        .map_err(|_| Error::corrupt("policy_head", "digest", anyhow::anyhow!("it has not the length of a SHA-256")))?;
    Ok(Row { revision: Revision { lineage: Lineage(row.lineage), number }, digest, stored })
}

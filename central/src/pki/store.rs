//! The table `certificate_authorities`.

use rustls_pki_types::CertificateDer;
use sqlx::PgExecutor;
use time::OffsetDateTime;

use crate::db::{self, Tx};
use crate::error::Error;

/// One row, its key still sealed.
pub(super) struct Row {
    pub(super) generation: i32,
    pub(super) state: String,
    pub(super) certificate: CertificateDer<'static>,
    pub(super) sealed_key: Option<Vec<u8>>,
    pub(super) not_after: OffsetDateTime,
}

/// Every authority, oldest first.
pub(super) async fn all(executor: impl PgExecutor<'_>) -> Result<Vec<Row>, Error> {
    let rows = sqlx::query!(
        "select generation, state, certificate, sealed_key, not_after from certificate_authorities order by generation"
    )
    .fetch_all(executor)
    .await
    .map_err(|error| Error::database("read the certificate authorities", error))?;
    Ok(rows
        .into_iter()
        .map(|row| Row {
            generation: row.generation,
            state: row.state,
            certificate: row.certificate.into(),
            sealed_key: row.sealed_key,
            not_after: row.not_after,
        })
        .collect())
}

/// Of the replicas that make or rotate authorities at the same time, one goes first; held until the transaction ends.
pub(super) async fn lock(tx: &mut Tx) -> Result<(), Error> {
    sqlx::query!("lock table certificate_authorities in share row exclusive mode")
        .execute(&mut **tx)
        .await
        .map_err(|error| Error::database("lock the certificate authorities", error))?;
    Ok(())
}

/// Stores a new authority with its sealed key.
pub(super) async fn insert(
    tx: &mut Tx,
    generation: i32,
    state: &str,
    certificate: &CertificateDer<'_>,
    sealed_key: &[u8],
    not_after: OffsetDateTime,
) -> Result<(), Error> {
    let done = sqlx::query!(
        "insert into certificate_authorities (generation, state, certificate, sealed_key, not_after)
         values ($1, $2, $3, $4, $5)",
        generation,
        state,
        certificate.as_ref(),
        sealed_key,
        not_after
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| Error::database("store a certificate authority", error))?;
    db::exactly_one("store a certificate authority", &done)
}

/// Present becomes past and forgets its key, next becomes present.
pub(super) async fn advance(tx: &mut Tx) -> Result<(), Error> {
    let retired =
        sqlx::query!("update certificate_authorities set state = 'past', sealed_key = null where state = 'present'")
            .execute(&mut **tx)
            .await
            .map_err(|error| Error::database("retire the present authority", error))?;
    db::exactly_one("retire the present authority", &retired)?;
    let promoted = sqlx::query!("update certificate_authorities set state = 'present' where state = 'next'")
        .execute(&mut **tx)
        .await
        .map_err(|error| Error::database("promote the next authority", error))?;
    db::exactly_one("promote the next authority", &promoted)
}

//! The authorities as this replica holds them: read from the database, made at the first start, rotated before they
//! end; and the listener's own certificate, made anew without a restart.

use std::sync::{Arc, RwLock};

use rustls::ServerConfig;
use sqlx::PgPool;
use time::{Duration, OffsetDateTime};

use super::{Authorities, Authority, PkiError, SERVER_VALIDITY, store};
use crate::audit::{self, Actor};
use crate::config;
use crate::db::{self, Tx};
use crate::error::Error;
use crate::sealing::SealingKey;

/// An authority is rotated this long before it ends. Longer than any client certificate with its renewal window.
const ROTATE_BEFORE: Duration = Duration::days(800);

/// The public key infrastructure of one replica.
pub struct Pki {
    sealing: SealingKey,
    /// How long a client certificate is valid.
    pub lifetime: Duration,
    /// How long after its expiry it may still be renewed.
    pub window: Duration,
    names: Vec<String>,
    held: RwLock<Held>,
}

struct Held {
    authorities: Arc<Authorities>,
    tls: Arc<ServerConfig>,
    /// When the listener's certificate is made anew.
    renew_at: OffsetDateTime,
}

impl Pki {
    /// Reads the authorities, or makes them where there are none yet. `names` are host names and addresses of the
    /// listener's certificate.
    pub async fn open(
        db: &PgPool,
        sealing: SealingKey,
        config: &config::Gateways,
        names: Vec<String>,
    ) -> Result<Arc<Self>, Error> {
        let days = |length: std::time::Duration| {
            Duration::try_from(length).map_err(|error| Error::internal("a lifetime of certificates", error))
        };
        let (lifetime, window) = (days(config.certificate_lifetime)?, days(config.renewal_window)?);
        let authorities = Arc::new(current(db, &sealing).await?);
        let held = RwLock::new(Held::new(authorities, &names, window)?);
        Ok(Arc::new(Self { sealing, lifetime, window, names, held }))
    }

    /// The authorities now.
    pub fn authorities(&self) -> Arc<Authorities> {
        self.held.read().expect("no holder of the lock panics").authorities.clone()
    }

    /// What the listener speaks with now.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        self.held.read().expect("no holder of the lock panics").tls.clone()
    }

    /// Reads the authorities again, rotates them when due, and makes a new certificate for the listener when there is a
    /// new authority or half of the old one's life is over. Called by a job; open connections stay.
    pub async fn refresh(&self, db: &PgPool) -> Result<(), Error> {
        let authorities = Arc::new(current(db, &self.sealing).await?);
        let due = {
            let held = self.held.read().expect("no holder of the lock panics");
            OffsetDateTime::now_utc() >= held.renew_at || held.authorities.generations() != authorities.generations()
        };
        if due {
            let fresh = Held::new(authorities, &self.names, self.window)?;
            *self.held.write().expect("no holder of the lock panics") = fresh;
            tracing::info!("the certificate of the gRPC listener is new");
        }
        Ok(())
    }
}

impl Held {
    fn new(authorities: Arc<Authorities>, names: &[String], window: Duration) -> Result<Self, Error> {
        let now = OffsetDateTime::now_utc();
        let made = authorities.issue_server(names, now).and_then(|own| authorities.server_config(&own, window));
        let tls = Arc::new(made.map_err(|error| Error::internal("make the certificate of the gRPC listener", error))?);
        Ok(Self { authorities, tls, renew_at: now + SERVER_VALIDITY / 2 })
    }
}

impl Authorities {
    fn generations(&self) -> (i32, i32) {
        (self.present.generation, self.next.generation)
    }
}

/// What the database holds, made or rotated first where that is due.
async fn current(db: &PgPool, sealing: &SealingKey) -> Result<Authorities, Error> {
    let found = read(store::all(db).await?, sealing)?;
    match found {
        Some(found) if found.present.not_after - OffsetDateTime::now_utc() > ROTATE_BEFORE => Ok(found),
        _ => {
            db::transaction!(db, "make-authorities", async |tx| {
                store::lock(tx).await?;
                advance(tx, sealing, OffsetDateTime::now_utc()).await
            })
            .await
        }
    }
}

/// Makes the first two authorities, or rotates when the present one ends soon, under the lock of the table.
async fn advance(tx: &mut Tx, sealing: &SealingKey, now: OffsetDateTime) -> Result<Authorities, Error> {
    let (action, generations) = match read(store::all(&mut **tx).await?, sealing)? {
        // Another replica was first.
        Some(found) if found.present.not_after - now > ROTATE_BEFORE => return Ok(found),
        Some(found) => {
            store::advance(tx).await?;
            ("authority.rotated", vec![(found.next.generation + 1, "next")])
        }
        None => ("authority.created", vec![(1, "present"), (2, "next")]),
    };
    for &(generation, state) in &generations {
        let (authority, secret) = Authority::generate(generation, now)
            .map_err(|error| Error::internal("make a certificate authority", error))?;
        let sealed = sealing.seal(&context(generation), &secret);
        store::insert(tx, generation, state, &authority.certificate, &sealed, authority.not_after).await?;
    }
    let made = read(store::all(&mut **tx).await?, sealing)?.ok_or_else(|| {
        Error::corrupt("certificate_authorities", "state", anyhow::anyhow!("present or next is missing"))
    })?;
    let detail = serde_json::json!({
        "present": hex::encode(super::fingerprint(&made.present.certificate)),
        "next": hex::encode(super::fingerprint(&made.next.certificate)),
    });
    audit::record(tx, &Actor::system(), action, &made.present.generation.to_string(), &detail).await?;
    Ok(made)
}

fn read(rows: Vec<store::Row>, sealing: &SealingKey) -> Result<Option<Authorities>, Error> {
    if rows.is_empty() {
        return Ok(None);
    }
    let (mut present, mut next, mut past) = (None, None, Vec::new());
    for row in rows {
        if row.state == "past" {
            past.push(row.certificate);
            continue;
        }
        let generation = row.generation;
        let secret = row
            .sealed_key
            .and_then(|sealed| sealing.open(&context(generation), &sealed).ok())
            .ok_or_else(|| Error::internal("open a certificate authority", PkiError::Sealed { generation }))?;
        let authority = Authority::restore(generation, row.certificate, &secret, row.not_after)
            .map_err(|error| Error::corrupt("certificate_authorities", "sealed_key", error))?;
        *(if row.state == "present" { &mut present } else { &mut next }) = Some(authority);
    }
    match (present, next) {
        (Some(present), Some(next)) => Ok(Some(Authorities { present, next, past })),
        _ => Err(Error::corrupt("certificate_authorities", "state", anyhow::anyhow!("present or next is missing"))),
    }
}

/// The place that a key is sealed for.
fn context(generation: i32) -> String {
    format!("certificate_authorities/{generation}")
}

//! SQL of accounts, sessions and tokens. The clock is the database's.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::types::PgInterval;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Hashed;
use crate::caller::{Caller, Role, Via};
use crate::config;
use crate::db::{self, Tx};
use crate::error::{Error, Kind};

/// An account, without its password.
#[derive(Debug, Clone)]
pub struct Account {
    /// Identity.
    pub id: Uuid,
    /// Unique, never given to somebody else.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// It cannot log in.
    pub disabled: bool,
    /// Locked after failed log-ins until then.
    pub locked_until: Option<OffsetDateTime>,
    /// When it was made.
    pub created_at: OffsetDateTime,
}

struct AccountRow {
    id: Uuid,
    name: String,
    role: String,
    disabled: bool,
    locked_until: Option<OffsetDateTime>,
    created_at: OffsetDateTime,
}

impl TryFrom<AccountRow> for Account {
    type Error = Error;
    fn try_from(row: AccountRow) -> Result<Self, Error> {
        Ok(Self {
            role: role("operators", &row.role)?,
            id: row.id,
            name: row.name,
            disabled: row.disabled,
            locked_until: row.locked_until,
            created_at: row.created_at,
        })
    }
}

fn role(table: &'static str, text: &str) -> Result<Role, Error> {
    Role::parse(text).ok_or_else(|| Error::corrupt(table, "role", anyhow::anyhow!("{text:?} is not a role")))
}

fn interval(length: Duration) -> Result<PgInterval, Error> {
    PgInterval::try_from(length).map_err(|error| Error::internal("a length of time", error))
}

/// Counts an attempt to log in, and gives the account and its password hash where it may be tried at all.
///
/// The count is taken back by [`begin_session`]. At the bound the account is locked and the count begins anew.
pub(super) async fn begin_attempt(
    db: &PgPool,
    name: &str,
    settings: &config::Sessions,
) -> Result<Option<(Account, String)>, Error> {
    let bound = i32::try_from(settings.lockout_after).map_err(|error| Error::internal("a bound", error))?;
    let row = sqlx::query!(
        "update operators set
             failed_logins = case when failed_logins + 1 >= $2 then 0 else failed_logins + 1 end,
             locked_until = case when failed_logins + 1 >= $2 then now() + $3::interval else null end
         where name = $1 and not disabled and (locked_until is null or locked_until <= now())
         returning id, name, role, disabled, locked_until, created_at, password_hash",
        name,
        bound,
        interval(settings.lockout)?,
    )
    .fetch_optional(db)
    .await
    .map_err(|error| Error::database("begin a log-in", error))?;
    let Some(row) = row else { return Ok(None) };
    let account = AccountRow {
        id: row.id,
        name: row.name,
        role: row.role,
        disabled: row.disabled,
        locked_until: row.locked_until,
        created_at: row.created_at,
    };
    Ok(Some((account.try_into()?, row.password_hash)))
}

/// Is there an account of this name, whatever its state?
pub(super) async fn exists(db: &PgPool, name: &str) -> Result<bool, Error> {
    sqlx::query_scalar!(r#"select exists (select 1 from operators where name = $1) as "exists!""#, name)
        .fetch_one(db)
        .await
        .map_err(|error| Error::database("look for an account", error))
}

/// Takes back the count of failures and enters a session; the answer is when it ends.
pub(super) async fn begin_session(
    tx: &mut Tx,
    operator: Uuid,
    token_hash: &Hashed,
    lifetime: Duration,
) -> Result<OffsetDateTime, Error> {
    let failed = |error| Error::database("begin a session", error);
    let reset = sqlx::query!(
        "update operators set failed_logins = 0, locked_until = null where id = $1 and not disabled",
        operator
    )
    .execute(&mut **tx)
    .await
    .map_err(failed)?;
    db::exactly_one("begin a session", &reset)?;
    sqlx::query_scalar!(
        "insert into sessions (token_hash, operator_id, expires_at) values ($1, $2, now() + $3::interval)
         returning expires_at",
        token_hash.as_slice(),
        operator,
        interval(lifetime)?,
    )
    .fetch_one(&mut **tx)
    .await
    .map_err(failed)
}

pub(super) async fn end_session(tx: &mut Tx, token_hash: &Hashed) -> Result<(), Error> {
    sqlx::query!("delete from sessions where token_hash = $1", token_hash.as_slice())
        .execute(&mut **tx)
        .await
        .map(drop)
        .map_err(|error| Error::database("end a session", error))
}

/// The holder of a session; notes at most once a minute that it is in use.
pub(super) async fn session(db: &PgPool, token_hash: Hashed, idle: Duration) -> Result<Option<Caller>, Error> {
    let row = sqlx::query!(
        r#"select o.id, o.name, o.role, s.expires_at, s.last_used_at < now() - interval '1 minute' as "stale!"
           from sessions s join operators o on o.id = s.operator_id
           where s.token_hash = $1 and s.expires_at > now() and s.last_used_at > now() - $2::interval
             and not o.disabled"#,
        token_hash.as_slice(),
        interval(idle)?,
    )
    .fetch_optional(db)
    .await
    .map_err(|error| Error::database("read a session", error))?;
    let Some(row) = row else { return Ok(None) };
    if row.stale {
        sqlx::query!("update sessions set last_used_at = now() where token_hash = $1", token_hash.as_slice())
            .execute(db)
            .await
            .map_err(|error| Error::database("note the use of a session", error))?;
    }
    let via = Via::Session { operator: row.id, token_hash, expires_at: row.expires_at };
    Ok(Some(Caller { role: role("operators", &row.role)?, name: row.name, via }))
}

/// Is the session there, in use, and its account of this role?
pub(super) async fn session_holds(db: &PgPool, token_hash: &Hashed, role: Role, idle: Duration) -> Result<bool, Error> {
    sqlx::query_scalar!(
        r#"select exists (
               select 1 from sessions s join operators o on o.id = s.operator_id
               where s.token_hash = $1 and s.expires_at > now() and s.last_used_at > now() - $2::interval
                 and not o.disabled and o.role = $3) as "holds!""#,
        token_hash.as_slice(),
        interval(idle)?,
        role.as_str(),
    )
    .fetch_one(db)
    .await
    .map_err(|error| Error::database("look for a session", error))
}

/// Is the token there, and of this role?
pub(super) async fn token_holds(db: &PgPool, id: Uuid, role: Role) -> Result<bool, Error> {
    sqlx::query_scalar!(
        r#"select exists (
               select 1 from api_tokens
               where id = $1 and role = $2 and (expires_at is null or expires_at > now())) as "holds!""#,
        id,
        role.as_str(),
    )
    .fetch_one(db)
    .await
    .map_err(|error| Error::database("look for a token", error))
}

/// Sets the password of an account and ends its sessions but one.
pub(super) async fn set_password(tx: &mut Tx, operator: Uuid, phc: &str, but: &Hashed) -> Result<(), Error> {
    let failed = |error| Error::database("set a password", error);
    let set = sqlx::query!(
        "update operators set password_hash = $2, updated_at = now(), failed_logins = 0, locked_until = null
         where id = $1 and not disabled",
        operator,
        phc,
    )
    .execute(&mut **tx)
    .await
    .map_err(failed)?;
    db::exactly_one("set a password", &set)?;
    sqlx::query!("delete from sessions where operator_id = $1 and token_hash <> $2", operator, but.as_slice())
        .execute(&mut **tx)
        .await
        .map(drop)
        .map_err(failed)
}

/// The holder of a token; notes at most once a minute that it is in use.
pub(super) async fn token(db: &PgPool, token_hash: &Hashed) -> Result<Option<Caller>, Error> {
    let row = sqlx::query!(
        r#"select id, name, role, coalesce(last_used_at < now() - interval '1 minute', true) as "stale!"
           from api_tokens where token_hash = $1 and (expires_at is null or expires_at > now())"#,
        token_hash.as_slice(),
    )
    .fetch_optional(db)
    .await
    .map_err(|error| Error::database("read a token", error))?;
    let Some(row) = row else { return Ok(None) };
    if row.stale {
        sqlx::query!("update api_tokens set last_used_at = now() where id = $1", row.id)
            .execute(db)
            .await
            .map_err(|error| Error::database("note the use of a token", error))?;
    }
    Ok(Some(Caller { role: role("api_tokens", &row.role)?, name: row.name, via: Via::Token { id: row.id } }))
}

/// Constraints of names, as their users may read them.
fn named(what: &'static str, error: sqlx::Error) -> Error {
    match db::constraint(&error) {
        Some("operators_name_key") => {
            Error::new(Kind::Conflict, "There is an account of this name already; nothing was changed.")
                .code("name-taken")
                .at("name")
        }
        Some("api_tokens_name_key") => {
            Error::new(Kind::Conflict, "There is a token of this name already. Revoke it first, or choose another.")
                .code("name-taken")
                .at("name")
        }
        Some("operators_name_shape") => Error::new(
            Kind::Invalid,
            "The name of an account has 1 to 64 of a-z 0-9 . _ @ - and begins with a letter or digit.",
        )
        .at("name"),
        Some("api_tokens_name_shape") => Error::new(
            Kind::Invalid,
            "The name of a token has 1 to 64 of A-Z a-z 0-9 . _ @ - and begins with a letter or digit.",
        )
        .at("name"),
        _ => Error::database(what, error),
    }
}

pub(super) async fn create(tx: &mut Tx, name: &str, role: Role, phc: &str) -> Result<Account, Error> {
    sqlx::query_as!(
        AccountRow,
        "insert into operators (id, name, role, password_hash) values ($1, $2, $3, $4)
         returning id, name, role, disabled, locked_until, created_at",
        Uuid::now_v7(),
        name,
        role.as_str(),
        phc,
    )
    .fetch_one(&mut **tx)
    .await
    .map_err(|error| named("create an account", error))?
    .try_into()
}

/// Makes the first account; no where there is one of that name.
pub(super) async fn create_first(tx: &mut Tx, name: &str, phc: &str) -> Result<bool, Error> {
    let made = sqlx::query!(
        "insert into operators (id, name, role, password_hash) values ($1, $2, 'admin', $3) on conflict do nothing",
        Uuid::now_v7(),
        name,
        phc,
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| Error::database("create the first account", error))?;
    Ok(made.rows_affected() == 1)
}

pub(super) async fn any(db: &PgPool) -> Result<bool, Error> {
    sqlx::query_scalar!(r#"select exists (select 1 from operators) as "any!""#)
        .fetch_one(db)
        .await
        .map_err(|error| Error::database("look for accounts", error))
}

/// Changes an account; a new password or a disabled account ends its sessions.
pub(super) async fn change(
    tx: &mut Tx,
    name: &str,
    role: Option<Role>,
    disabled: Option<bool>,
    phc: Option<&str>,
) -> Result<Account, Error> {
    let row = sqlx::query_as!(
        AccountRow,
        "update operators set role = coalesce($2, role), disabled = coalesce($3, disabled),
             password_hash = coalesce($4, password_hash), updated_at = now(),
             failed_logins = case when $4::text is null then failed_logins else 0 end,
             locked_until = case when $4::text is null then locked_until end
         where name = $1 returning id, name, role, disabled, locked_until, created_at",
        name,
        role.map(Role::as_str),
        disabled,
        phc,
    )
    .fetch_optional(&mut **tx)
    .await
    .map_err(|error| Error::database("change an account", error))?;
    let account: Account = row.ok_or_else(|| Error::not_found("account", name))?.try_into()?;
    if phc.is_some() || account.disabled {
        sqlx::query!("delete from sessions where operator_id = $1", account.id)
            .execute(&mut **tx)
            .await
            .map_err(|error| Error::database("end the sessions of an account", error))?;
    }
    Ok(account)
}

/// Administrators that can log in; their rows are locked, so that two changes cannot remove one each.
pub(super) async fn administrators(tx: &mut Tx) -> Result<usize, Error> {
    sqlx::query_scalar!("select id from operators where role = 'admin' and not disabled order by id for update")
        .fetch_all(&mut **tx)
        .await
        .map(|rows| rows.len())
        .map_err(|error| Error::database("count the administrators", error))
}

pub(super) async fn list(db: &PgPool, limit: i64) -> Result<Vec<Account>, Error> {
    sqlx::query_as!(
        AccountRow,
        "select id, name, role, disabled, case when locked_until > now() then locked_until end as locked_until,
                created_at from operators order by name limit $1",
        limit
    )
    .fetch_all(db)
    .await
    .map_err(|error| Error::database("list the accounts", error))?
    .into_iter()
    .map(Account::try_from)
    .collect()
}

/// An API token, without its text.
#[derive(Debug, Clone)]
pub struct Token {
    /// Identity.
    pub id: Uuid,
    /// Unique among tokens that are not revoked.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: OffsetDateTime,
    /// Until when it holds; `None`: for ever.
    pub expires_at: Option<OffsetDateTime>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<OffsetDateTime>,
}

struct TokenRow {
    id: Uuid,
    name: String,
    role: String,
    created_by: String,
    created_at: OffsetDateTime,
    expires_at: Option<OffsetDateTime>,
    last_used_at: Option<OffsetDateTime>,
}

impl TryFrom<TokenRow> for Token {
    type Error = Error;
    fn try_from(row: TokenRow) -> Result<Self, Error> {
        Ok(Self {
            role: role("api_tokens", &row.role)?,
            id: row.id,
            name: row.name,
            created_by: row.created_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
        })
    }
}

pub(super) async fn create_token(
    tx: &mut Tx,
    name: &str,
    role: Role,
    hash: &Hashed,
    by: &str,
    ttl: Duration,
) -> Result<Token, Error> {
    sqlx::query_as!(
        TokenRow,
        "insert into api_tokens (id, name, role, token_hash, created_by, expires_at)
         values ($1, $2, $3, $4, $5, now() + $6::interval)
         returning id, name, role, created_by, created_at, expires_at, last_used_at",
        Uuid::now_v7(),
        name,
        role.as_str(),
        hash.as_slice(),
        by,
        interval(ttl)?,
    )
    .fetch_one(&mut **tx)
    .await
    .map_err(|error| named("create a token", error))?
    .try_into()
}

/// Makes a token of role admin hold for ever; no where it does already.
pub(super) async fn hold_token(tx: &mut Tx, name: &str, hash: &Hashed) -> Result<bool, Error> {
    let written = sqlx::query!(
        "insert into api_tokens (id, name, role, token_hash, created_by) values ($1, $2, 'admin', $3, 'system')
         on conflict (name) do update set token_hash = excluded.token_hash, role = 'admin', expires_at = null
         where api_tokens.token_hash <> excluded.token_hash",
        Uuid::now_v7(),
        name,
        hash.as_slice(),
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| Error::database("hold the configured token", error))?;
    Ok(written.rows_affected() == 1)
}

pub(super) async fn tokens(db: &PgPool, limit: i64) -> Result<Vec<Token>, Error> {
    sqlx::query_as!(
        TokenRow,
        "select id, name, role, created_by, created_at, expires_at, last_used_at from api_tokens
         order by name limit $1",
        limit
    )
    .fetch_all(db)
    .await
    .map_err(|error| Error::database("list the tokens", error))?
    .into_iter()
    .map(Token::try_from)
    .collect()
}

pub(super) async fn revoke_token(tx: &mut Tx, name: &str) -> Result<Uuid, Error> {
    sqlx::query_scalar!("delete from api_tokens where name = $1 returning id", name)
        .fetch_optional(&mut **tx)
        .await
        .map_err(|error| Error::database("revoke a token", error))?
        .ok_or_else(|| Error::not_found("token", name))
}

pub(super) async fn sweep(db: &PgPool) -> Result<(), Error> {
    sqlx::query!("delete from sessions where expires_at < now()")
        .execute(db)
        .await
        .map_err(|error| Error::database("remove old sessions", error))?;
    sqlx::query!("delete from idempotency_keys where created_at < now() - interval '1 day'")
        .execute(db)
        .await
        .map(drop)
        .map_err(|error| Error::database("remove old idempotency keys", error))
}

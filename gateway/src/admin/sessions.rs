//! Sessions of the console: what stands behind a cookie, and how often a wrong token may be tried.
//!
//! Kept in the memory of one gateway: after a restart, and at another member of the group, one logs in again. Only the
//! digest of a cookie is kept. A session holds no longer than the token that it was begun with.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::problem::Problem;
use crate::config::Secret;
use crate::group::{Document, now as unix_ms, random_text, token_digest};

/// A session without requests ends after this time.
const IDLE: Duration = Duration::from_mins(30);
/// A session ends after this time, whatever comes.
pub(super) const LIFETIME: Duration = Duration::from_hours(12);
/// Sessions at once; the one that was used longest ago makes room.
const MAX_SESSIONS: usize = 256;

/// Wrong tokens are counted over this time.
const WINDOW: Duration = Duration::from_mins(1);
/// So many wrong tokens at log-ins in a window, and log-ins from the address are refused.
const LOG_INS: u32 = 10;
/// So many by programs, and programs are refused: not sooner, since one with an old token must not shut the others out.
const BEARERS: u32 = 1_000;
/// Addresses and ways of which wrong tokens are counted.
const MAX_ADDRESSES: usize = 4_096;

/// Name of the cookie at `host`. Cookies do not know ports, and several gateways on one machine must not log each other
/// out.
pub(super) fn cookie_name(host: &str) -> String {
    let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| port.bytes().all(|b| b.is_ascii_digit()));
    match port {
        Some(port) => format!("sealgate_gateway_session_{port}"),
        None => "sealgate_gateway_session".to_owned(),
    }
}

/// Every open session.
#[derive(Default)]
pub struct Sessions {
    open: Mutex<HashMap<[u8; 32], Open>>,
    attempts: Attempts,
}

struct Open {
    token: String,
    /// Of the token: one of the same ID that was made anew is another.
    token_digest: [u8; 32],
    begun: Instant,
    used: Instant,
    expires_ms: u64,
}

/// A session that was found open.
#[derive(Clone)]
pub(super) struct Session {
    digest: [u8; 32],
    token: String,
    expires_ms: u64,
}

impl Session {
    /// Public ID of the token that it was begun with.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// When it ends at the latest, Unix milliseconds.
    pub(super) fn expires_ms(&self) -> u64 {
        self.expires_ms
    }
}

impl Open {
    fn holds(&self, now: Instant, document: &Document) -> bool {
        let token = document.tokens.get(&self.token);
        now.duration_since(self.begun) < LIFETIME
            && now.duration_since(self.used) < IDLE
            && token.is_some_and(|token| token.digest == self.token_digest)
    }
}

impl Sessions {
    /// Begins a session for who presents this token. None: it is none of the document's.
    pub(super) fn begin(
        &self,
        presented: &str,
        document: &Document,
        now: Instant,
    ) -> Result<Option<(Secret, Session)>, Problem> {
        let Some(token) = document.token(presented).map(str::to_owned) else { return Ok(None) };
        let secret = Secret::new(random_text(32)?);
        let digest = token_digest(secret.expose());
        let lifetime = u64::try_from(LIFETIME.as_millis()).unwrap_or(u64::MAX);
        let expires_ms = unix_ms().saturating_add(lifetime);
        let mut open = self.lock();
        open.retain(|_, session| session.holds(now, document));
        while open.len() >= MAX_SESSIONS {
            let oldest = open.iter().min_by_key(|(_, session)| session.used).map(|(digest, _)| *digest);
            oldest.and_then(|oldest| open.remove(&oldest));
        }
        let token_digest = token_digest(presented);
        open.insert(digest, Open { token: token.clone(), token_digest, begun: now, used: now, expires_ms });
        Ok(Some((secret, Session { digest, token, expires_ms })))
    }

    /// The open session of a cookie, which is in use from now on.
    pub(super) fn find(&self, cookie: &str, document: &Document, now: Instant) -> Option<Session> {
        let digest = token_digest(cookie);
        let mut open = self.lock();
        if open.get(&digest).is_some_and(|session| !session.holds(now, document)) {
            open.remove(&digest);
        }
        let session = open.get_mut(&digest)?;
        session.used = now;
        Some(Session { digest, token: session.token.clone(), expires_ms: session.expires_ms })
    }

    /// Whether a session is still open; does not count as its use.
    pub(super) fn holds(&self, session: &Session, document: &Document, now: Instant) -> bool {
        self.lock().get(&session.digest).is_some_and(|open| open.holds(now, document))
    }

    /// Ends a session.
    pub(super) fn end(&self, session: &Session) {
        self.lock().remove(&session.digest);
    }

    /// Who tried wrong tokens.
    pub(super) fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wrong tokens of late, by address and by the way that they came.
#[derive(Default)]
pub(super) struct Attempts(Mutex<HashMap<(IpAddr, Way), Failures>>);

/// How a token is presented. Counted apart: a program with an old token must not keep people from logging in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// By a person, at a log-in.
    LogIn,
    /// By a program, with each request.
    Bearer,
}

impl Way {
    fn most(self) -> u32 {
        match self {
            Self::LogIn => LOG_INS,
            Self::Bearer => BEARERS,
        }
    }
}

struct Failures {
    since: Instant,
    count: u32,
}

impl Attempts {
    /// May somebody present a token from there in this way? If not, the right one is not looked at either: otherwise
    /// guessing would go on.
    pub(super) fn admit(&self, from: IpAddr, way: Way, now: Instant) -> Result<(), Problem> {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match failures.get(&(from, way)) {
            Some(failures) if failures.count >= way.most() && now.duration_since(failures.since) < WINDOW => {
                let left = WINDOW.saturating_sub(now.duration_since(failures.since));
                Err(Problem::too_many_attempts(u16::try_from(left.as_secs()).unwrap_or(u16::MAX).saturating_add(1)))
            }
            _ => Ok(()),
        }
    }

    /// A wrong token came from there.
    pub(super) fn failed(&self, from: IpAddr, way: Way, now: Instant) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= MAX_ADDRESSES && !failures.contains_key(&(from, way)) {
            failures.retain(|_, failures| now.duration_since(failures.since) < WINDOW);
            if failures.len() >= MAX_ADDRESSES {
                let oldest = failures.iter().min_by_key(|(_, failures)| failures.since).map(|(key, _)| *key);
                oldest.and_then(|oldest| failures.remove(&oldest));
            }
        }
        let entry = failures.entry((from, way)).or_insert_with(|| Failures { since: now, count: 0 });
        if now.duration_since(entry.since) >= WINDOW {
            *entry = Failures { since: now, count: 0 };
        }
        entry.count = entry.count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::group::{Token, empty};

    const TOKEN: &str = "a token of the tests";
    const MINUTE: Duration = Duration::from_mins(1);

    fn document() -> Document {
        let mut document = empty();
        let token = Token { name: "t".to_owned(), created: 0, digest: token_digest(TOKEN), may_copy_keys: true };
        document.tokens.insert("t".to_owned(), token);
        document
    }

    fn begun(sessions: &Sessions, document: &Document, now: Instant) -> (Secret, Session) {
        sessions.begin(TOKEN, document, now).unwrap().expect("the token holds")
    }

    #[test]
    fn a_session_ends_when_it_is_not_used_and_after_its_lifetime() {
        let (sessions, document, start) = (Sessions::default(), document(), Instant::now());
        let (idle, _) = begun(&sessions, &document, start);
        assert!(sessions.find(idle.expose(), &document, start + IDLE).is_none());
        let (used, session) = begun(&sessions, &document, start);
        let mut now = start;
        while now + MINUTE < start + LIFETIME {
            now += MINUTE;
            assert!(sessions.find(used.expose(), &document, now).is_some());
        }
        assert!(!sessions.holds(&session, &document, start + LIFETIME));
        assert!(sessions.find(used.expose(), &document, start + LIFETIME).is_none());
    }

    #[test]
    fn a_session_ends_with_its_token_also_where_one_of_the_same_id_is_made_anew() {
        let (sessions, mut document, now) = (Sessions::default(), document(), Instant::now());
        let (cookie, _) = begun(&sessions, &document, now);
        document.tokens.get_mut("t").unwrap().digest = token_digest("another");
        assert!(sessions.find(cookie.expose(), &document, now).is_none());
    }

    #[test]
    fn the_session_that_was_used_longest_ago_makes_room() {
        let (sessions, document, now) = (Sessions::default(), document(), Instant::now());
        let first = begun(&sessions, &document, now).0;
        let second = begun(&sessions, &document, now + MINUTE).0;
        let now = now + 2 * MINUTE;
        assert!(sessions.find(first.expose(), &document, now).is_some());
        for _ in 0..MAX_SESSIONS - 1 {
            begun(&sessions, &document, now);
        }
        assert_eq!(sessions.lock().len(), MAX_SESSIONS);
        assert!(sessions.find(first.expose(), &document, now).is_some());
        assert!(sessions.find(second.expose(), &document, now).is_none());
    }

    #[test]
    fn an_address_with_wrong_tokens_waits_and_no_other_does() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let (from, other) = (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)));
        for _ in 0..LOG_INS {
            attempts.admit(from, Way::LogIn, now).unwrap();
            attempts.failed(from, Way::LogIn, now);
        }
        assert_eq!(attempts.admit(from, Way::LogIn, now).unwrap_err().code, "too-many-attempts");
        attempts.admit(other, Way::LogIn, now).unwrap();
        attempts.admit(from, Way::Bearer, now).unwrap();
        for _ in 0..BEARERS {
            attempts.failed(from, Way::Bearer, now);
        }
        assert!(attempts.admit(from, Way::Bearer, now).is_err());
        attempts.admit(from, Way::LogIn, now + WINDOW).unwrap();
    }

    #[test]
    fn many_addresses_take_bounded_memory() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for number in 0..2 * u32::try_from(MAX_ADDRESSES).unwrap() {
            attempts.failed(IpAddr::V4(Ipv4Addr::from_bits(number)), Way::LogIn, now);
        }
        assert!(attempts.0.lock().unwrap().len() <= MAX_ADDRESSES);
    }

    #[test]
    fn gateways_on_one_machine_have_cookies_of_their_own() {
        assert_eq!(cookie_name("127.0.0.1:9001"), "sealgate_gateway_session_9001");
        assert_eq!(cookie_name("[::1]:9011"), "sealgate_gateway_session_9011");
        for without in ["gateway.example.com", "", "[::1]"] {
            assert_eq!(cookie_name(without), "sealgate_gateway_session", "{without}");
        }
    }
}

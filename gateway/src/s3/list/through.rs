//! Looks through a whole bucket, a page at a time: what is stored encrypted, what is not, what cannot be told.

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use http::{Method, StatusCode};

use super::super::Front;
use super::super::error::Error;
use super::Look;
use super::page::{self, Entry};
use crate::state::ledger::{BucketCounts, Known};
use crate::upstream;

/// HEAD requests of the look at work at once: few, since nobody waits.
const PARALLEL: usize = 4;

/// What a look through a bucket has found so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// What is known.
    pub(crate) counts: BucketCounts,
    /// Objects of which it cannot be told.
    pub(crate) unknown: u64,
    /// HEAD requests that were made.
    pub(crate) heads: u64,
    /// The last key that was looked at, where there are more after it.
    pub(crate) after: Option<String>,
}

/// An entry, and what a HEAD said of it.
type Looked<'a> = (&'a Entry, Result<Look, Error>);

impl Front {
    /// Looks at the page after `tally.after`, and adds it up. Where `heads` are spent, what the ledger does not have is
    /// unknown.
    pub(crate) async fn look_through(&self, bucket: &str, tally: &mut Tally, heads: u64) -> Result<(), Error> {
        let document = self.group.document();
        let place = self.place(&document, bucket)?;
        let mut query = vec![("list-type", "2"), ("max-keys", "1000"), ("encoding-type", "url")];
        if let Some(after) = tally.after.as_deref() {
            query.push(("start-after", after));
        }
        let target = upstream::uri(&place.bucket, None, &query);
        let (head, body) = self.send(&place.upstream, upstream::request(Method::GET, target)).await?.into_parts();
        if head.status != StatusCode::OK {
            return Err(Error::slow_down("The bucket cannot be listed.")
                .because(format!("the storage answers {}", head.status)));
        }
        let page = page::collect(body).await?;
        let field = |name: &[u8]| crate::s3::multipart::field(&page, name);
        let more = field(b"IsTruncated").as_deref() == Some("true");
        let entries = page::entries(&page)?;
        let last = entries.last().map(|entry| entry.key.clone());
        if more && (last.is_none() || last <= tally.after) {
            // A storage that does not go on would be looked at for ever.
            return Err(Error::internal("The storage's page does not come after the one before."));
        }
        let items = entries.iter().map(|entry| (entry.key.clone(), entry.bare_etag().to_owned())).collect();
        let known = self.ledger.look_up(bucket, items).await;
        let due = self.may_hold_sealed(&document, bucket).await;
        let mut misses: Vec<&Entry> = Vec::new();
        for (entry, known) in entries.iter().zip(known) {
            match known {
                Some(found) => tally.add(&found.known),
                None if due && entry.too_short().is_none() => misses.push(entry),
                // Nothing can have been encrypted here, or not this.
                None => tally.add(&Known { encrypted: false, size: entry.size, kms: None }),
            }
        }
        let left = usize::try_from(heads.saturating_sub(tally.heads)).unwrap_or(usize::MAX);
        tally.unknown += misses.len().saturating_sub(left) as u64;
        misses.truncate(left);
        tally.heads += misses.len() as u64;
        let place = &place;
        // Futures in a list: the compiler does not find a stream that makes them `Send`.
        let mut looks: Vec<BoxFuture<'_, Looked<'_>>> = Vec::with_capacity(misses.len());
        for entry in misses {
            looks.push(Box::pin(async move { (entry, self.look(place, entry).await) }));
        }
        let mut looked = futures_util::stream::iter(looks).buffer_unordered(PARALLEL);
        while let Some((entry, found)) = looked.next().await {
            match found {
                Ok(Look::Is(known, standing)) => {
                    self.ledger.record(bucket, &entry.key, entry.bare_etag(), known.clone(), standing);
                    tally.add(&known);
                }
                Ok(Look::Another(now, known, standing)) => {
                    self.ledger.record(bucket, &now.key, now.bare_etag(), known.clone(), standing);
                    tally.add(&known);
                }
                Ok(Look::Unseen) | Err(_) => tally.unknown += 1,
            }
        }
        tally.after = last.filter(|_| more);
        Ok(())
    }
}

impl Tally {
    fn add(&mut self, known: &Known) {
        let counts = &mut self.counts;
        let (objects, bytes) = if known.encrypted {
            (&mut counts.encrypted, &mut counts.encrypted_bytes)
        } else {
            (&mut counts.plain, &mut counts.plain_bytes)
        };
        *objects += 1;
        *bytes = bytes.saturating_add(known.size);
    }
}

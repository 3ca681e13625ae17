//! Lists of the system bucket, in order of key.

use http::Method;
use serde::Deserialize;

use super::{System, SystemError, malformed, refused};
use crate::upstream::{request, uri};

/// A page has at most 1,000 keys of at most 1,024 bytes, each with some 300 bytes around it.
const MAX_PAGE: usize = 4 * 1024 * 1024;

/// One object of the system bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key, whole.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
}

/// Up to 1,000 objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In order of key.
    pub entries: Vec<Entry>,
    /// There are more after the last.
    pub more: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    contents: Vec<Content>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Content {
    key: String,
    size: u64,
}

impl System {
    /// The objects whose keys begin with `prefix` and come after `after`, at most 1,000 in one request.
    pub async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, SystemError> {
        let mut query = vec![("list-type", "2"), ("max-keys", "1000"), ("prefix", prefix)];
        if let Some(after) = after {
            query.push(("start-after", after));
        }
        let target = uri(&self.bucket, None, &query);
        let make = || request(Method::GET, target.clone());
        let response = self.retried("list", prefix, MAX_PAGE, make).await?;
        if !response.status().is_success() {
            return Err(refused("list", prefix, &response));
        }
        let malformed = || malformed("list", prefix);
        let text = std::str::from_utf8(response.body()).map_err(|_| malformed())?;
        let answer: Answer = quick_xml::de::from_str(text).map_err(|_| malformed())?;
        let entries: Vec<Entry> =
            answer.contents.into_iter().map(|content| Entry { key: content.key, size: content.size }).collect();
        // A storage that ignores a parameter must not be believed.
        let obeyed =
            |entry: &Entry| entry.key.starts_with(prefix) && after.is_none_or(|after| entry.key.as_str() > after);
        let ordered = entries.windows(2).all(|pair| pair[0].key < pair[1].key);
        if !ordered || !entries.iter().all(obeyed) || (answer.is_truncated && entries.is_empty()) {
            return Err(malformed());
        }
        Ok(Page { entries, more: answer.is_truncated })
    }

    /// All objects whose keys begin with `prefix` and come after `after`; an error if there are more than `most`.
    pub async fn list_all(&self, prefix: &str, after: Option<&str>, most: usize) -> Result<Vec<Entry>, SystemError> {
        let mut all: Vec<Entry> = Vec::new();
        loop {
            let last = all.last().map(|entry| entry.key.clone());
            let page = self.list(prefix, last.as_deref().or(after)).await?;
            all.extend(page.entries);
            if !page.more {
                return Ok(all);
            }
            if all.len() > most {
                return Err(SystemError::TooMany { prefix: prefix.to_owned(), most });
            }
        }
    }
}

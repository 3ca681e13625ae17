//! Where a key lies in the directory storage: an injective, order-keeping map from keys to paths.
//!
//! ```text
//! payroll/2026/march.csv   BUCKET/objects/payroll/2026/march.csv@/   {data, record.json}
//! a                        BUCKET/objects/a@/                        beside a/b:  BUCKET/objects/a/b@/
//! a//b                     BUCKET/objects/a/%/b@/                    the empty component is `%`
//! ../x                     BUCKET/objects/%2E./x@/                   a leading dot is never left as it is
//! 90 × x                   BUCKET/objects/(80 × x)~/(10 × x)@/       80 bytes a step, whatever they are
//! ```
//!
//! A key is cut at every `/` into components; a component longer than [`STEP`] bytes is cut again. Letters, digits
//! and `-_.=+,` stand for themselves, every other byte is `%XX`. The last directory of an object ends in `@`, a step
//! that goes on with the same component in `~`, one that ends a component before a `/` in nothing; none of these
//! can come out of the encoding of a byte. So a path names one key, no path leaves `objects/`, no name is longer
//! than 241 bytes, and file systems that fold or normalise other characters than ASCII cannot merge two keys.
//! The longest key needs 3,072 bytes and 13 steps, or 1,025 steps and 2,050 bytes.
//!
//! Nothing here does I/O: `directory` stores by it, and `sealgate object path --storage` finds without any service.

use std::path::{Path, PathBuf};

/// The bytes of a component that one directory name holds; each takes at most three characters there.
pub const STEP: usize = 80;

/// The longest key of S3, in bytes of UTF-8.
pub const MAX_KEY: usize = 1024;

/// The file of an object's directory that holds exactly its stored bytes.
pub const DATA: &str = "data";

/// The file of an object's directory that holds its record.
pub const RECORD: &str = "record.json";

/// What a directory below `objects/` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An object whose key ends with the bytes of this step.
    Object,
    /// A component that ends with these bytes and is followed by a `/`.
    Level,
    /// The first [`STEP`] bytes of a component that goes on inside.
    Continued,
}

/// Where the keys of a bucket are, below the directory of the storage.
pub fn objects_dir(storage: &Path, bucket: &str) -> PathBuf {
    storage.join(bucket).join("objects")
}

/// The directory of an object, below `objects` of its bucket.
pub fn object_dir(objects: &Path, key: &str) -> PathBuf {
    let (mut path, _, rest) = level_of(objects, key.as_bytes());
    path.push(object_name(rest));
    path
}

/// The name of an object's directory, from the last step of its key.
pub fn object_name(step: &[u8]) -> String {
    encode(step) + "@"
}

/// The name of a directory that ends a component.
pub fn level_name(step: &[u8]) -> String {
    encode(step)
}

/// The name of a directory in which a component goes on.
pub fn continued_name(step: &[u8]) -> String {
    encode(step) + "~"
}

/// The deepest directory that holds everything that begins with `prefix`, the bytes of the key that lead there,
/// and the rest of the prefix, at most [`STEP`] bytes of one component.
pub fn level_of<'a>(objects: &Path, prefix: &'a [u8]) -> (PathBuf, &'a [u8], &'a [u8]) {
    let mut path = String::new();
    let mut start = 0;
    for component in prefix.split_inclusive(|&byte| byte == b'/') {
        let ended = component.last() == Some(&b'/');
        let mut bytes = if ended { &component[..component.len() - 1] } else { component };
        while bytes.len() > STEP {
            path.push_str(&continued_name(&bytes[..STEP]));
            path.push('/');
            bytes = &bytes[STEP..];
            start += STEP;
        }
        if ended {
            path.push_str(&level_name(bytes));
            path.push('/');
            start += bytes.len() + 1;
        }
    }
    (objects.join(path), &prefix[..start], &prefix[start..])
}

/// What the name of a directory below `objects/` stands for, and in `step` its bytes; `None` if this storage would
/// never write it.
pub fn decode_entry(name: &[u8], step: &mut Vec<u8>) -> Option<Entry> {
    let (entry, encoded) = match name.split_last()? {
        (b'@', rest) => (Entry::Object, rest),
        (b'~', rest) => (Entry::Continued, rest),
        _ => (Entry::Level, name),
    };
    decode(encoded, step)?;
    (entry != Entry::Continued || step.len() == STEP).then_some(entry)
}

/// Whether a byte at this place of a step is written as it is.
fn stands_for_itself(index: usize, byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_=+,".contains(&byte) || (byte == b'.' && index > 0)
}

fn encode(step: &[u8]) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if step.is_empty() {
        return String::from("%");
    }
    let mut name = String::with_capacity(step.len() + 8);
    for (index, &byte) in step.iter().enumerate() {
        if stands_for_itself(index, byte) {
            name.push(char::from(byte));
        } else {
            name.push('%');
            name.push(char::from(HEX[usize::from(byte >> 4)]));
            name.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    name
}

/// Undoes [`encode`]. One spelling only, so that two directories can never stand for one key.
fn decode(name: &[u8], step: &mut Vec<u8>) -> Option<()> {
    step.clear();
    if name == b"%" {
        return Some(());
    }
    let mut rest = name;
    while let Some((&first, after)) = rest.split_first() {
        let (byte, escaped, after) = match (first, after) {
            (b'%', [high, low, after @ ..]) => (nibble(*high)? << 4 | nibble(*low)?, true, after),
            (b'%', _) => return None,
            (byte, after) => (byte, false, after),
        };
        if escaped == stands_for_itself(step.len(), byte) {
            return None;
        }
        step.push(byte);
        rest = after;
    }
    (1..=STEP).contains(&step.len()).then_some(())
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn relative(key: &str) -> String {
        object_dir(Path::new(""), key).to_str().unwrap().to_owned()
    }

    /// The key that a path below `objects/` stands for.
    fn key_of(path: &str) -> Option<Vec<u8>> {
        let mut key = Vec::new();
        for name in path.split('/') {
            let mut step = Vec::new();
            let entry = decode_entry(name.as_bytes(), &mut step)?;
            key.extend(step);
            if entry == Entry::Level {
                key.push(b'/');
            }
        }
        Some(key)
    }

    #[test]
    fn paths_are_as_documented() {
        assert_eq!(relative("payroll/2026/march.csv"), "payroll/2026/march.csv@");
        assert_eq!(relative("a"), "a@");
        assert_eq!(relative("a/b"), "a/b@");
        assert_eq!(relative("a//b"), "a/%/b@");
        assert_eq!(relative("/"), "%/%@");
        assert_eq!(relative("../x"), "%2E./x@");
        assert_eq!(relative(".."), "%2E.@");
        assert_eq!(relative("a%@~"), "a%25%40%7E@");
        assert_eq!(relative(&"x".repeat(90)), format!("{}~/{}@", "x".repeat(80), "x".repeat(10)));
        assert_eq!(relative(&"x".repeat(80)), format!("{}@", "x".repeat(80)));
        assert_eq!(relative("\u{0}ü"), "%00%C3%BC@");
    }

    #[test]
    fn the_longest_keys_fit_into_names_and_paths() {
        for key in ["\u{1}".repeat(1024), "/".repeat(1024), "é".repeat(512), "\u{1}/".repeat(512), "..".repeat(512)] {
            let path = relative(&key);
            assert!(path.len() < 3200, "{} bytes", path.len());
            assert!(path.split('/').all(|name| !name.is_empty() && name.len() <= 241 && !name.starts_with('.')));
            assert_eq!(key_of(&path).unwrap(), key.as_bytes());
        }
    }

    #[test]
    fn names_that_are_not_ours_stand_for_nothing() {
        for name in ["", "@", "~", "%4", "%zz", "%41", "%2e", ".x", ".", "..", "a b", "short~", "a%@", "%%"] {
            assert_eq!(decode_entry(name.as_bytes(), &mut Vec::new()), None, "{name}");
        }
    }

    fn key() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a./%@~\u{0}é-]{1,12}",
            ("[ab]{0,3}", 75usize..90, "[a/]{1,4}").prop_map(|(a, n, b)| format!("{a}{}{b}", "x".repeat(n))),
            any::<String>().prop_filter("length", |key| !key.is_empty() && key.len() <= MAX_KEY),
        ]
    }

    proptest! {
        #[test]
        fn a_path_names_exactly_one_key_and_stays_inside(keys in prop::collection::vec(key(), 1..20)) {
            let mut paths = BTreeMap::new();
            for key in &keys {
                let path = relative(key);
                prop_assert_eq!(key_of(&path).unwrap(), key.as_bytes());
                prop_assert!(path.split('/').all(|name| !name.is_empty() && name.len() <= 241 && !name.starts_with('.')));
                let other = paths.insert(path, key.clone());
                prop_assert!(other.is_none_or(|other| &other == key));
            }
        }
    }
}

//! Settings from several places, read one by one; every mistake is collected with its path and told at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Prefix of the environment variables: `SEALGATE_CENTRAL_SECTION_KEY`.
pub(crate) const PREFIX: &str = "SEALGATE_CENTRAL_";

/// Everything that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// `section.key`.
    pub path: String,
    /// Where the value came from; empty where there is none.
    pub origin: String,
    /// What is wrong, without the value where it may be a secret.
    pub message: String,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} mistake(s):", self.0.len())?;
        for mistake in &self.0 {
            write!(f, "\n  {}: {}", mistake.path, mistake.message)?;
            if !mistake.origin.is_empty() {
                write!(f, " (from {})", mistake.origin)?;
            }
        }
        Ok(())
    }
}

struct Setting {
    text: String,
    origin: String,
}

/// The merged settings; later layers win.
pub(crate) struct Reader {
    settings: BTreeMap<String, Setting>,
    known: BTreeSet<&'static str>,
    mistakes: Vec<Mistake>,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self { settings: BTreeMap::new(), known: BTreeSet::new(), mistakes: Vec::new() }
    }

    pub(crate) fn mistake(&mut self, path: &str, message: impl Into<String>) {
        let origin = self.settings.get(path).map(|setting| setting.origin.clone()).unwrap_or_default();
        self.mistakes.push(Mistake { path: path.to_owned(), origin, message: message.into() });
    }

    /// The layer of a TOML file: tables of plain values.
    pub(crate) fn file(&mut self, path: &Path) {
        let origin = path.display().to_string();
        let table = match std::fs::read_to_string(path)
            .map_err(|error| error.to_string())
            .and_then(|text| text.parse::<toml::Table>().map_err(|error| error.to_string()))
        {
            Ok(table) => table,
            Err(message) => {
                self.mistakes.push(Mistake { path: "(file)".to_owned(), origin, message });
                return;
            }
        };
        for (section, value) in table {
            let toml::Value::Table(keys) = value else {
                self.mistakes.push(Mistake {
                    path: section,
                    origin: origin.clone(),
                    message: "settings belong to a [section]".to_owned(),
                });
                continue;
            };
            for (key, value) in keys {
                let path = format!("{section}.{key}");
                match plain(value) {
                    Some(text) => {
                        self.settings.insert(path, Setting { text, origin: origin.clone() });
                    }
                    None => self.mistakes.push(Mistake {
                        path,
                        origin: origin.clone(),
                        message: "it must be a text, a number, true, false or a list of texts".to_owned(),
                    }),
                }
            }
        }
    }

    /// The layer of environment variables. The longest section name that fits decides where the key begins.
    pub(crate) fn environment(&mut self, sections: &[&str], vars: impl Iterator<Item = (String, String)>) {
        for (name, text) in vars {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            let rest = rest.to_ascii_lowercase();
            let section = sections.iter().find(|section| {
                rest.strip_prefix(*section).is_some_and(|rest| rest.len() > 1 && rest.starts_with('_'))
            });
            // Other programs share the prefix (SEALGATE_CENTRAL_TOKEN of the command line).
            let Some(section) = section else { continue };
            let path = format!("{section}.{}", &rest[section.len() + 1..]);
            self.settings.insert(path, Setting { text, origin: format!("environment {name}") });
        }
    }

    /// The layer of flags: `section.key=value`.
    pub(crate) fn flags<'a>(&mut self, flags: impl Iterator<Item = &'a str>) {
        for flag in flags {
            match flag.split_once('=') {
                Some((path, text)) if path.contains('.') => {
                    let setting = Setting { text: text.to_owned(), origin: "flag --set".to_owned() };
                    self.settings.insert(path.to_owned(), setting);
                }
                _ => self.mistakes.push(Mistake {
                    path: "--set".to_owned(),
                    origin: String::new(),
                    message: "it must be section.key=value".to_owned(),
                }),
            }
        }
    }

    /// The value of `path` by `parse`; `default` where it is not set. A wrong value is noted and the default stands in,
    /// so that the rest is read too.
    pub(crate) fn value<T>(
        &mut self,
        path: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        self.known.insert(path);
        match self.settings.get(path).map(|setting| parse(&setting.text)) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(message)) => {
                self.mistake(path, message);
                default
            }
        }
    }

    pub(crate) fn optional<T>(
        &mut self,
        path: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.value(path, None, |text| parse(text).map(Some))
    }

    pub(crate) fn required<T>(
        &mut self,
        path: &'static str,
        stand_in: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        if !self.settings.contains_key(path) {
            self.known.insert(path);
            self.mistake(path, format!("it must be set, in the file or as {}", variable(path)));
            return stand_in;
        }
        self.value(path, stand_in, parse)
    }

    /// Where each setting that is set comes from: file, environment or flag.
    pub(crate) fn origins(&self) -> BTreeMap<String, &'static str> {
        let word = |origin: &str| match origin.split(' ').next() {
            Some("environment") => "environment",
            Some("flag") => "flag",
            _ => "file",
        };
        self.settings.iter().map(|(path, setting)| (path.clone(), word(&setting.origin))).collect()
    }

    /// Ends the reading: settings that nobody asked for are mistakes.
    pub(crate) fn finish(mut self) -> Result<(), Mistakes> {
        let unknown: Vec<String> =
            self.settings.keys().filter(|path| !self.known.contains(path.as_str())).cloned().collect();
        for path in unknown {
            self.mistake(&path, "there is no such setting");
        }
        if self.mistakes.is_empty() { Ok(()) } else { Err(Mistakes(self.mistakes)) }
    }
}

/// The environment variable of a setting.
pub(crate) fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "_").to_ascii_uppercase())
}

fn plain(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(yes) => Some(yes.to_string()),
        toml::Value::Array(items) => {
            let items: Option<Vec<String>> = items.into_iter().map(plain).collect();
            items.map(|items| items.join(","))
        }
        _ => None,
    }
}

pub(crate) fn text(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("it must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}

pub(crate) fn path(value: &str) -> Result<PathBuf, String> {
    text(value).map(PathBuf::from)
}

pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "it must be an address with a port, such as 127.0.0.1:9100 or [::1]:0".to_owned())
}

pub(crate) fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(ToOwned::to_owned).collect()
}

pub(crate) fn number(range: std::ops::RangeInclusive<u32>) -> impl FnOnce(&str) -> Result<u32, String> {
    move |text| match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("it must be a number from {} to {}", range.start(), range.end())),
    }
}

/// `500ms`, `1s`, `5m`, `12h`, `7d`.
pub(crate) fn duration(least: Duration, most: Duration) -> impl FnOnce(&str) -> Result<Duration, String> {
    move |text| {
        let wrong = || format!("it must be a duration from {least:?} to {most:?}, such as 500ms, 1s, 5m, 12h or 7d");
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
        let unit_ms = match &text[digits..] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let value = Duration::from_millis(number.checked_mul(unit_ms).ok_or_else(wrong)?);
        if (least..=most).contains(&value) { Ok(value) } else { Err(wrong()) }
    }
}

//! Reads one merged table key by key, and remembers every mistake and every key that was asked for.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use toml::{Table, Value};

use super::{ENV_FOREIGN, ENV_PREFIX, Secret};

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Path of the key, for example `backends.disk.path`; empty where it is about the whole.
    pub path: String,
    /// What is wrong. Never holds a secret.
    pub message: String,
}

/// Everything that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration cannot be used:")?;
        for mistake in &self.0 {
            let colon = if mistake.path.is_empty() { "" } else { ": " };
            write!(f, "\n  {}{colon}{}", mistake.path, mistake.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// The merged settings while they are read.
#[derive(Default)]
pub(super) struct Reader {
    table: Table,
    effective: Table,
    asked: BTreeSet<String>,
    mistakes: Vec<Mistake>,
}

impl Reader {
    pub(super) fn mistake(&mut self, path: &str, message: String) {
        self.mistakes.push(Mistake { path: path.to_owned(), message });
    }

    pub(super) fn file(&mut self, file: &Path, text: &str) {
        match text.parse::<Table>() {
            Ok(table) => self.table = table,
            Err(error) => {
                let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
                // The error's own display quotes the line, which may hold a secret.
                self.mistake("", format!("{}:{line}: {}", file.display(), error.message()));
            }
        }
    }

    pub(super) fn environment(&mut self, env: impl IntoIterator<Item = (String, String)>) {
        for (name, value) in env {
            let Some(rest) = name.strip_prefix(ENV_PREFIX) else { continue };
            if !ENV_FOREIGN.contains(&rest) {
                self.set(&rest.to_ascii_lowercase().replace("__", "."), value);
            }
        }
    }

    pub(super) fn flags(&mut self, flags: &[String]) {
        for flag in flags {
            match flag.split_once('=') {
                Some((path, value)) => self.set(path, value.to_owned()),
                None => self.mistake(flag, "a setting is KEY=VALUE".to_owned()),
            }
        }
    }

    fn set(&mut self, path: &str, value: String) {
        if !insert(&mut self.table, path, Value::String(value)) {
            self.mistake(path, "a part of this path is a value, not a section".to_owned());
        }
    }

    /// Whether anything was set at or below `path`.
    pub(super) fn has(&self, path: &str) -> bool {
        self.lookup(path).is_some()
    }

    /// Names of the tables below `path`.
    pub(super) fn tables(&mut self, path: &str) -> Vec<String> {
        match self.lookup(path) {
            None => Vec::new(),
            Some(Value::Table(table)) => table.keys().cloned().collect(),
            Some(_) => {
                self.asked.insert(path.to_owned());
                self.mistake(path, "it must be a section".to_owned());
                Vec::new()
            }
        }
    }

    /// A scalar as text, without a default; `None` where it is not set.
    pub(super) fn optional(&mut self, path: &str) -> Option<String> {
        let text = self.scalar(path)?;
        insert(&mut self.effective, path, Value::String(text.clone()));
        Some(text)
    }

    /// A scalar as text; required where there is no default.
    pub(super) fn text(&mut self, path: &str, default: Option<&str>) -> Option<String> {
        let wrong = self.mistakes.len();
        let text = self.optional(path);
        if text.is_none() && self.mistakes.len() == wrong {
            match default {
                Some(default) => {
                    insert(&mut self.effective, path, Value::String(default.to_owned()));
                    return Some(default.to_owned());
                }
                None => self.mistake(path, "it is required".to_owned()),
            }
        }
        text
    }

    /// A scalar that parses as `T`; `what` completes "it must be".
    pub(super) fn parsed<T: FromStr>(&mut self, path: &str, default: Option<&str>, what: &str) -> Option<T> {
        let text = self.text(path, default)?;
        let value = text.parse().ok();
        if value.is_none() {
            self.mistake(path, format!("{text:?} is not {what}"));
        }
        value
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, path: &str, default: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(path, Some(default))?;
        let value = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if value.is_none() {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.mistake(path, format!("{text:?} is not one of {}", words.join(", ")));
        }
        value
    }

    /// A duration such as `500ms`, `10s`, `2m`, `1h`, `7d`; a bare number is seconds.
    pub(super) fn duration(&mut self, path: &str, default: &str, least: Duration) -> Option<Duration> {
        let text = self.text(path, Some(default))?;
        self.as_duration(path, &text, least)
    }

    /// A duration that need not be there.
    pub(super) fn optional_duration(&mut self, path: &str, least: Duration) -> Option<Duration> {
        let text = self.optional(path)?;
        self.as_duration(path, &text, least)
    }

    fn as_duration(&mut self, path: &str, text: &str, least: Duration) -> Option<Duration> {
        let Some(duration) = parse_duration(text) else {
            self.mistake(path, format!("{text:?} is not a duration such as 500ms, 10s or 2m"));
            return None;
        };
        if duration < least {
            self.mistake(path, format!("it must be at least {least:?}"));
        }
        Some(duration)
    }

    /// A secret text; masked in the effective configuration.
    pub(super) fn secret(&mut self, path: &str) -> Option<Secret> {
        let text = self.scalar(path)?;
        insert(&mut self.effective, path, Value::String("(set)".to_owned()));
        Some(Secret::new(text))
    }

    /// A secret at `path`, or in the file that `path` + `_file` names.
    pub(super) fn secret_or_file(&mut self, path: &str) -> Option<Secret> {
        let direct = self.secret(path);
        let file_path = format!("{path}_file");
        let Some(file) = self.optional(&file_path) else { return direct };
        if direct.is_some() {
            self.mistake(&file_path, format!("give {path} or this, not both"));
            return direct;
        }
        match std::fs::read_to_string(&file) {
            Ok(text) => Some(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned())),
            Err(error) => {
                self.mistake(&file_path, format!("{file} cannot be read: {error}"));
                // The mistake is recorded; the value is never used.
                Some(Secret::new(String::new()))
            }
        }
    }

    /// Leaves everything below `path` unread without calling it unknown.
    pub(super) fn ignore(&mut self, path: &str) {
        let mut leaves = Vec::new();
        if let Some(value) = self.lookup(path) {
            collect(value, path, &mut leaves);
        }
        self.asked.extend(leaves);
    }

    /// The effective settings, or all mistakes, among them the keys that nobody asked for.
    pub(super) fn finish(mut self) -> Result<Table, Mistakes> {
        let mut leaves = Vec::new();
        for (name, value) in &self.table {
            collect(value, name, &mut leaves);
        }
        for leaf in leaves {
            if !self.asked.contains(&leaf) {
                self.mistake(&leaf, "there is no such setting".to_owned());
            }
        }
        if self.mistakes.is_empty() { Ok(self.effective) } else { Err(Mistakes(self.mistakes)) }
    }

    fn scalar(&mut self, path: &str) -> Option<String> {
        self.asked.insert(path.to_owned());
        let text = match self.lookup(path)? {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Boolean(flag) => flag.to_string(),
            _ => {
                self.mistake(path, "it must be a text, a whole number or true/false".to_owned());
                return None;
            }
        };
        if text.is_empty() {
            self.mistake(path, "it must not be empty".to_owned());
            return None;
        }
        Some(text)
    }

    fn lookup(&self, path: &str) -> Option<&Value> {
        let mut parts = path.split('.');
        let mut value = self.table.get(parts.next()?)?;
        for part in parts {
            value = value.as_table()?.get(part)?;
        }
        Some(value)
    }
}

/// Puts `value` at `path`, making the tables on the way; false where a part of the path is a scalar.
fn insert(table: &mut Table, path: &str, value: Value) -> bool {
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
            true
        }
        Some((first, rest)) => {
            let inner = table.entry(first).or_insert_with(|| Value::Table(Table::new()));
            inner.as_table_mut().is_some_and(|inner| insert(inner, rest, value))
        }
    }
}

fn collect(value: &Value, path: &str, leaves: &mut Vec<String>) {
    match value {
        Value::Table(table) => {
            for (name, value) in table {
                collect(value, &format!("{path}.{name}"), leaves);
            }
        }
        _ => leaves.push(path.to_owned()),
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let millis = match &text[digits..] {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

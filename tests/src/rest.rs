//! Plain HTTP requests of a test: REST and scrapes.

use std::sync::Once;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::PATIENCE;

/// What a service answered.
#[derive(Debug)]
pub struct Reply {
    /// Of HTTP.
    pub status: u16,
    /// `ETag`, as it was sent; empty where none was.
    pub etag: String,
    /// The body.
    pub text: String,
}

impl Reply {
    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

/// One request; an error where nothing answers.
pub fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Result<Reply> {
    static PROVIDER: Once = Once::new();
    // The client wants a TLS provider to be there, though every listener that is asked here is plain.
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
        let mut request = client.request(method.parse()?, url).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.with_context(|| format!("{method} {url}"))?;
        let etag = response.headers().get("etag").and_then(|etag| etag.to_str().ok()).unwrap_or_default().to_owned();
        Ok(Reply { status: response.status().as_u16(), etag, text: response.text().await? })
    })
}

/// A scrape in the text format of Prometheus.
pub struct Scrape {
    /// As it was served.
    pub text: String,
    samples: Vec<Sample>,
}

/// One sample.
#[derive(Debug)]
pub struct Sample {
    /// Name of the metric, with the suffix of its kind.
    pub name: String,
    /// In the order of the text.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: f64,
}

impl Scrape {
    /// Scrapes a listener.
    pub fn of(url: &str) -> Result<Self> {
        let reply = request("GET", url, &[], "")?;
        ensure!(reply.status == 200, "{url}: {}", reply.status);
        let lines = reply.text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples = lines.map(|line| sample(line).with_context(|| line.to_owned())).collect::<Result<_>>()?;
        Ok(Self { text: reply.text, samples })
    }

    /// The samples of a name that carry all of `labels`.
    pub fn samples(&self, name: &str, labels: &[(&str, &str)]) -> Vec<&Sample> {
        let fits = |sample: &&Sample| {
            sample.name == name && labels.iter().all(|(name, value)| sample.label(name) == Some(*value))
        };
        self.samples.iter().filter(fits).collect()
    }

    /// The sum of the values of these samples; 0 where there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.samples(name, labels).iter().map(|sample| sample.value).sum()
    }
}

impl Sample {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, mut rest) = series.split_once('{').unwrap_or((series, "}"));
    let mut labels = Vec::new();
    while rest != "}" {
        let (label, quoted) = rest.split_once("=\"")?;
        let (value, after) = quoted_text(quoted)?;
        labels.push((label.to_owned(), value));
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    Some(Sample { name: name.to_owned(), labels, value: value.parse().ok()? })
}

/// The text up to the closing quotation mark, and what follows it.
fn quoted_text(text: &str) -> Option<(String, &str)> {
    let mut read = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '"' => return Some((read, characters.as_str())),
            '\\' => read.push(Some(characters.next()?).filter(|next| *next != 'n').unwrap_or('\n')),
            other => read.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::sample;

    #[test]
    fn a_sample_is_read_with_its_labels() {
        let read = sample(r#"a_total{b="x,}=\"\\",c=""} 12.5"#).expect("a sample");
        assert_eq!(read.name, "a_total");
        assert_eq!(read.labels, [("b".to_owned(), "x,}=\"\\".to_owned()), ("c".to_owned(), String::new())]);
        assert!((read.value - 12.5).abs() < f64::EPSILON);
        assert!(sample("up 1").expect("a sample").labels.is_empty());
        assert_eq!(sample("up{} 1").expect("a sample").name, "up");
        assert!(sample("up{a=\"x} 1").is_none());
    }
}

//! What a request is about, by its path (`host/bucket/key`) or by host and path (`bucket.host/key`).

use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, Uri};

use super::error::Error;
use super::operations::Scope;
use super::request::{is_bucket_name, parse_path};

/// The domains below which a bucket may stand in the host: with `s3.example`, `photos.s3.example` is the bucket `photos`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Domains(Vec<String>);

impl Domains {
    /// From a list with commas. `Err`: what is no domain name.
    pub fn parse(list: &str) -> Result<Self, String> {
        let names = list.split(',').map(|name| name.trim().trim_end_matches('.').to_ascii_lowercase());
        let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
        match names.iter().find(|name| !is_domain(name)) {
            None => Ok(Self(names)),
            Some(wrong) => Err(wrong.clone()),
        }
    }

    /// The bucket that a `Host` header names, in lower case. None: the bucket is in the path.
    pub fn bucket(&self, host: &str) -> Option<String> {
        let host = host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
        let host = host.trim_end_matches('.');
        // One domain may be within another.
        if self.0.iter().any(|domain| domain == host) {
            return None;
        }
        let buckets = self.0.iter().filter_map(|domain| host.strip_suffix(domain.as_str())?.strip_suffix('.'));
        buckets.filter(|bucket| !bucket.is_empty()).min_by_key(|bucket| bucket.len()).map(str::to_owned)
    }
}

/// Labels of letters, digits and hyphens; the last is no number, so that it cannot be an address.
fn is_domain(name: &str) -> bool {
    let legal = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() < 254 && name.split('.').all(legal) && last.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// What a request names.
pub(super) struct Address {
    /// As the client calls it; empty at the service itself.
    pub(super) bucket: String,
    /// Decoded; empty unless there is an object.
    pub(super) key: String,
    pub(super) scope: Scope,
}

impl Address {
    pub(super) fn of(domains: &Domains, uri: &Uri, headers: &HeaderMap) -> Result<Self, Error> {
        let (bucket, key, scope) = match in_host(domains, headers) {
            None => parse_path(uri.path())?,
            Some(bucket) if is_bucket_name(&bucket) => parse_path(&format!("/{bucket}{}", uri.path()))?,
            Some(_) => return Err(Error::invalid_bucket_name("The specified bucket is not valid.")),
        };
        Ok(Self { bucket, key, scope })
    }

    pub(super) fn of_head(domains: &Domains, head: &Parts) -> Result<Self, Error> {
        Self::of(domains, &head.uri, &head.headers)
    }
}

/// The bucket in the host of a request.
pub(super) fn in_host(domains: &Domains, headers: &HeaderMap) -> Option<String> {
    domains.bucket(headers.get(HOST)?.to_str().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_found_in_a_host_below_a_domain() {
        let domains = Domains::parse("S3.example, eu.s3.example.,internal").unwrap();
        for (host, bucket) in [
            ("photos.s3.example", Some("photos")),
            ("Photos.S3.Example:9000", Some("photos")),
            ("a.b.s3.example", Some("a.b")),
            ("photos.eu.s3.example", Some("photos")),
            ("photos.internal:80", Some("photos")),
            ("s3.example", None),
            ("eu.s3.example:9000", None),
            (".s3.example", None),
            ("photoss3.example", None),
            ("photos.example", None),
            ("127.0.0.1:9000", None),
            ("[::1]:9000", None),
            ("", None),
        ] {
            assert_eq!(domains.bucket(host).as_deref(), bucket, "{host}");
        }
        assert_eq!(Domains::default().bucket("photos.s3.example"), None);
    }

    #[test]
    fn what_is_no_domain_is_told() {
        assert_eq!(Domains::parse("s3.example, 10.0.0.1"), Err("10.0.0.1".to_owned()));
        assert_eq!(Domains::parse("s3.example:9000"), Err("s3.example:9000".to_owned()));
        assert_eq!(Domains::parse("*.s3.example"), Err("*.s3.example".to_owned()));
        assert_eq!(Domains::parse(" "), Ok(Domains::default()));
    }

    #[test]
    fn the_path_is_the_key_where_the_host_is_the_bucket() {
        let domains = Domains::parse("s3.example").unwrap();
        let address = |host: &str, path: &'static str| {
            let headers = HeaderMap::from_iter([(HOST, host.parse().unwrap())]);
            let Address { bucket, key, scope } = Address::of(&domains, &Uri::from_static(path), &headers).unwrap();
            (bucket, key, scope)
        };
        assert_eq!(address("photos.s3.example", "/"), ("photos".into(), String::new(), Scope::Bucket));
        assert_eq!(address("photos.s3.example", "/a/b%20c"), ("photos".into(), "a/b c".into(), Scope::Object));
        assert_eq!(address("photos.s3.example", "//a"), ("photos".into(), "/a".into(), Scope::Object));
        assert_eq!(address("s3.example", "/photos/a"), ("photos".into(), "a".into(), Scope::Object));
        assert_eq!(address("s3.example", "/"), (String::new(), String::new(), Scope::Service));
    }
}

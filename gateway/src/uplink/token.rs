//! The enrolment token: where Central is, by what it is recognised, and the secret that admits once.
//!
//! ```text
//! sgt1.BASE64URL({"a": "https://host:port", "c": ["SHA-256 of a CA certificate, hex", …], "s": "secret"})
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

const PREFIX: &str = "sgt1.";
const MAX_TOKEN: usize = 4 * 1024;
const MAX_FINGERPRINTS: usize = 8;

/// A token that cannot be used. The message never holds a part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the enrolment token {0}; copy it whole, as Central showed it")]
pub struct TokenError(&'static str);

/// A token, read. No `Debug`: the secret admits a gateway.
pub(super) struct Token {
    pub(super) address: Url,
    /// SHA-256 of the certificates of Central's present and next CA.
    pub(super) fingerprints: Vec<[u8; 32]>,
    pub(super) secret: Zeroizing<String>,
}

/// Borrowed from the decoded text, which is wiped.
#[derive(Deserialize)]
struct Content<'a> {
    a: &'a str,
    c: Vec<&'a str>,
    s: &'a str,
}

impl Token {
    pub(super) fn parse(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.len() > MAX_TOKEN {
            return Err(TokenError("is too long"));
        }
        let encoded = text.strip_prefix(PREFIX).ok_or(TokenError("does not begin with sgt1."))?;
        let decoded = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenError("is not Base64"))?);
        let content: Content<'_> = serde_json::from_slice(&decoded).map_err(|_| TokenError("is damaged"))?;
        let address = address(content.a).ok_or(TokenError("holds no https address"))?;
        let count = content.c.len();
        if count == 0 || count > MAX_FINGERPRINTS {
            return Err(TokenError("holds no fingerprint of Central"));
        }
        let mut fingerprints = Vec::with_capacity(content.c.len());
        for text in content.c {
            let mut fingerprint = [0; 32];
            hex::decode_to_slice(text, &mut fingerprint).map_err(|_| TokenError("holds a damaged fingerprint"))?;
            fingerprints.push(fingerprint);
        }
        if content.s.is_empty() || content.s.len() > proto::limits::TOKEN_BYTES {
            return Err(TokenError("holds no secret"));
        }
        Ok(Self { address, fingerprints, secret: Zeroizing::new(content.s.to_owned()) })
    }
}

/// An https address with a host and nothing behind the port.
pub(super) fn address(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.host().is_some() && url.path() == "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(json: &str) -> String {
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(json))
    }

    #[test]
    fn a_token_gives_address_fingerprints_and_secret() {
        let fingerprint = "ab".repeat(32);
        let text = token(&format!(r#"{{"a":"https://central:9101","c":["{fingerprint}"],"s":"hush"}}"#));
        let token = Token::parse(&format!(" {text}\n")).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(token.address.as_str(), "https://central:9101/");
        assert_eq!(token.fingerprints, [[0xab; 32]]);
        assert_eq!(*token.secret, "hush");
    }

    #[test]
    fn what_is_no_token_is_refused_without_showing_it() {
        let fingerprint = "ab".repeat(32);
        let bad = [
            String::new(),
            "sgt1.".into(),
            "sgt2.e30".into(),
            token("{}"),
            token(&format!(r#"{{"a":"http://central:9101","c":["{fingerprint}"],"s":"hush"}}"#)),
            token(r#"{"a":"https://central:9101","c":[],"s":"hush"}"#),
            token(r#"{"a":"https://central:9101","c":["abcd"],"s":"hush"}"#),
            token(&format!(r#"{{"a":"https://central:9101","c":["{fingerprint}"],"s":""}}"#)),
            "x".repeat(MAX_TOKEN + 1),
        ];
        for text in bad {
            let error = Token::parse(&text).err().unwrap_or_else(|| panic!("accepted: {text}"));
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }
}

use super::*;

#[derive(RustEmbed)]
#[folder = "src/tests/site"]
struct Site;

#[derive(RustEmbed)]
#[folder = "src/tests/not-there"]
#[allow_missing = true]
struct Nothing;

static SITE: Console = Console { find: Site::get };
static UNBUILT: Console = Console { find: Nothing::get };

const SCRIPT: &str = "/assets/app-1a2b.js";

fn get(path: &str, asked: &[(HeaderName, &str)]) -> Option<Response<Bytes>> {
    let headers = asked.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect();
    SITE.answer(&Method::GET, path, &headers)
}

fn header(response: &Response<Bytes>, name: HeaderName) -> &str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[test]
fn every_view_is_the_page_with_a_nonce_of_its_own() {
    let mut nonces = std::collections::BTreeSet::new();
    for path in ["/", "/index.html", "/gateways/eu.1", "/apiary", "/policies/a/b"] {
        let response = get(path, &[]).expect(path);
        assert_eq!(header(&response, CONTENT_TYPE), "text/html; charset=utf-8", "{path}");
        assert_eq!(header(&response, CACHE_CONTROL), "no-store", "{path}");
        let policy = header(&response, CONTENT_SECURITY_POLICY).to_owned();
        let nonce = policy.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).expect("a nonce");
        let page = String::from_utf8(response.into_body().to_vec()).unwrap();
        assert!(page.contains(&format!("content=\"{nonce}\"")), "{path}: {page}");
        assert!(!page.contains(NONCE));
        assert!(nonces.insert(nonce.to_owned()), "a nonce came twice");
    }
}

#[test]
fn the_policy_lets_no_inline_script_and_no_other_origin_pass() {
    let response = get("/", &[]).unwrap();
    let policy = header(&response, CONTENT_SECURITY_POLICY);
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; "), "{policy}");
    for word in ["unsafe", "http:", "https:", "*"] {
        assert!(!policy.contains(word), "{word} in {policy}");
    }
    for directive in ["base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'", "connect-src 'self'"] {
        assert!(policy.contains(directive), "{directive} is not in {policy}");
    }
}

#[test]
fn what_is_not_the_consoles_is_left_to_the_service() {
    for path in ["/api", "/api/", "/api/v1/nothing", "/assets/gone-0000.js", "/assets/../index.html"] {
        assert!(get(path, &[]).is_none(), "{path}");
    }
    assert!(SITE.answer(&Method::POST, "/", &HeaderMap::new()).is_none());
    assert!(SITE.answer(&Method::HEAD, "/", &HeaderMap::new()).is_some());
}

#[test]
fn an_asset_is_kept_for_ever_and_other_files_are_asked_for_again() {
    let script = get(SCRIPT, &[]).unwrap();
    assert_eq!(header(&script, CONTENT_TYPE), "text/javascript; charset=utf-8");
    assert_eq!(header(&script, CACHE_CONTROL), "public, max-age=31536000, immutable");
    assert_eq!(header(&script, VARY), "accept-encoding");
    let icon = get("/favicon.svg", &[]).unwrap();
    assert_eq!(header(&icon, CONTENT_TYPE), "image/svg+xml");
    assert_eq!(header(&icon, CACHE_CONTROL), "no-cache");
}

#[test]
fn a_file_comes_packed_as_the_browser_takes_it() {
    let cases = [
        ("gzip, deflate, br, zstd", "br", "stands for brotli\n"),
        ("gzip", "gzip", "stands for gzip\n"),
        ("br;q=0, GZIP;q=0.5", "gzip", "stands for gzip\n"),
        ("identity", "", "export const answer = 42;\n"),
        ("br; q=0.0", "", "export const answer = 42;\n"),
    ];
    let mut tags = std::collections::BTreeSet::new();
    for (accepted, coding, body) in cases {
        let response = get(SCRIPT, &[(ACCEPT_ENCODING, accepted)]).unwrap();
        assert_eq!(header(&response, CONTENT_ENCODING), coding, "{accepted}");
        tags.insert(header(&response, ETAG).to_owned());
        assert_eq!(response.into_body(), body.as_bytes(), "{accepted}");
    }
    assert_eq!(tags.len(), 3, "each form has a tag of its own: {tags:?}");
    let icon = get("/favicon.svg", &[(ACCEPT_ENCODING, "br")]).unwrap();
    assert_eq!(header(&icon, CONTENT_ENCODING), "", "there is no packed form");
}

#[test]
fn what_the_browser_has_is_not_sent_again() {
    let tag = header(&get(SCRIPT, &[]).unwrap(), ETAG).to_owned();
    let again = get(SCRIPT, &[(IF_NONE_MATCH, &tag)]).unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert!(again.body().is_empty());
    assert_eq!(get(SCRIPT, &[(IF_NONE_MATCH, "\"other\"")]).unwrap().status(), StatusCode::OK);
}

#[test]
fn a_build_without_console_answers_nothing() {
    assert!(SITE.is_built());
    assert!(!UNBUILT.is_built());
    assert!(UNBUILT.answer(&Method::GET, "/", &HeaderMap::new()).is_none());
}

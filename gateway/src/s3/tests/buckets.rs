//! Lists of buckets.

use http::{Method, StatusCode};

use super::gateway::{ADMIN, Answer, Gateway, Storage, service};
use super::relay::{Act, Relay};

#[tokio::test]
async fn buckets_are_listed_page_by_page_and_what_is_refused_is_said() {
    let storage = Storage::new();
    let relay = Relay::start(&storage).await;
    let gateway = Gateway::over(&storage, service(relay.address, ("any", "any")), "sealgate-system", "one").await;
    let client = gateway.client(ADMIN);
    for bucket in ["alpha", "beta", "gamma", "gamma2"] {
        assert_eq!(client.send(Method::PUT, bucket, "", &[], &[], b"").await.status, StatusCode::OK);
    }
    // The storage's own pages are short: all of them are read.
    relay.rule(|request| {
        if request.uri().path() == "/" && request.method() == Method::GET {
            return Act::Change(Box::new(|request| {
                let query = request.uri().query().map(|query| format!("&{query}")).unwrap_or_default();
                *request.uri_mut() = format!("/?max-buckets=2{query}").parse().unwrap();
            }));
        }
        Act::Pass
    });
    let list = async |query: &[(&str, &str)]| client.send(Method::GET, "", "", query, &[], b"").await;
    let names = |answer: &Answer| -> Vec<String> {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        text.split("<Name>").skip(1).map(|rest| rest.split("</Name>").next().unwrap().to_owned()).collect()
    };
    let all = list(&[]).await;
    assert_eq!(names(&all), ["alpha", "beta", "gamma", "gamma2"], "{all:?}");
    assert_eq!(all.field("ContinuationToken"), "");
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let query = [("max-buckets", "3"), ("continuation-token", token.as_str())];
        let page = list(if token.is_empty() { &query[..1] } else { &query }).await;
        assert!(names(&page).len() <= 3);
        seen.extend(names(&page));
        token = page.field("ContinuationToken");
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ["alpha", "beta", "gamma", "gamma2"]);
    assert_eq!(names(&list(&[("prefix", "gam")]).await), ["gamma", "gamma2"]);
    for wrong in [("max-buckets", "0"), ("max-buckets", "x"), ("continuation-token", "%")] {
        assert_eq!(list(&[wrong]).await.code(), "InvalidArgument", "{wrong:?}");
    }
    relay.rule(|_| {
        let mut refused = http::Response::new(crate::upstream::empty());
        *refused.status_mut() = StatusCode::FORBIDDEN;
        Act::Answer(refused)
    });
    let refused = list(&[]).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::FORBIDDEN, "AccessDenied"));
    gateway.end().await;
    relay.end().await;
}

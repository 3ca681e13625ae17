//! ACLs that give nobody else anything, and what is set for no bucket.

use crate::client::Home;

const PUBLIC: &str = "<AccessControlPolicy><AccessControlList><Grant><Grantee><URI>\
                      http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee><Permission>READ</Permission></Grant>\
                      </AccessControlList></AccessControlPolicy>";

#[tokio::test]
async fn an_acl_that_was_read_can_be_written_back_and_none_that_opens_anything() {
    let home = Home::new();
    let client = home.open();
    client.make("bucket").await;
    client.put("bucket", "key", "x").await;
    for path in ["/bucket?acl", "/bucket/key?acl"] {
        let acl = client.send("GET", path, &[], "").await;
        assert_eq!((acl.status.as_u16(), acl.one("Permission").as_str()), (200, "FULL_CONTROL"));
        // Owner and grantee are the same, and the same as in lists.
        assert_eq!(acl.all("ID"), ["sealgate", "sealgate"]);
        assert_eq!(client.send("PUT", path, &[], acl.text().to_owned()).await.status, 200);
        assert_eq!(client.send("PUT", path, &[("x-amz-acl", "private")], "").await.status, 200);
        for canned in ["public-read", "public-read-write", "authenticated-read"] {
            let reply = client.send("PUT", path, &[("x-amz-acl", canned)], "").await;
            assert_eq!((reply.status.as_u16(), reply.code()), (400, "AccessControlListNotSupported".to_owned()));
        }
        assert_eq!(client.send("PUT", path, &[("x-amz-acl", "public-ready")], "").await.code(), "InvalidArgument");
        assert_eq!(client.send("PUT", path, &[], PUBLIC).await.code(), "AccessControlListNotSupported");
        assert_eq!(client.send("PUT", path, &[], "").await.code(), "MissingSecurityHeader");
        assert_eq!(client.send("GET", path, &[], "").await.text(), acl.text());
    }
    assert_eq!(client.send("GET", "/none?acl", &[], "").await.code(), "NoSuchBucket");
    assert_eq!(client.send("GET", "/bucket/none?acl", &[], "").await.code(), "NoSuchKey");
    assert_eq!(client.send("PUT", "/bucket/none?acl", &[("x-amz-acl", "private")], "").await.code(), "NoSuchKey");
    let public = [("x-amz-acl", "public-read")];
    assert_eq!(client.send("PUT", "/bucket/open", &public, "x").await.code(), "AccessControlListNotSupported");
    assert_eq!(client.send("PUT", "/opened", &public, "").await.code(), "AccessControlListNotSupported");
    assert_eq!(client.send("GET", "/opened?acl", &[], "").await.code(), "NoSuchBucket");
}

#[tokio::test]
async fn what_is_set_for_no_bucket_is_answered_as_not_set_and_cannot_be_set() {
    let home = Home::new();
    let client = home.open();
    client.make("bucket").await;
    for (what, code) in [
        ("publicAccessBlock", "NoSuchPublicAccessBlockConfiguration"),
        ("policyStatus", "NoSuchBucketPolicy"),
        ("policy", "NoSuchBucketPolicy"),
        ("cors", "NoSuchCORSConfiguration"),
        ("tagging", "NoSuchTagSet"),
        ("lifecycle", "NoSuchLifecycleConfiguration"),
        ("website", "NoSuchWebsiteConfiguration"),
        ("replication", "ReplicationConfigurationNotFoundError"),
        ("object-lock", "ObjectLockConfigurationNotFoundError"),
    ] {
        let reply = client.send("GET", &format!("/bucket?{what}"), &[], "").await;
        assert_eq!((reply.status.as_u16(), reply.code()), (404, code.to_owned()), "{what}");
        assert_eq!(client.send("GET", &format!("/none?{what}"), &[], "").await.code(), "NoSuchBucket", "{what}");
        if !["policyStatus", "object-lock"].contains(&what) {
            assert_eq!(client.send("DELETE", &format!("/bucket?{what}"), &[], "").await.status, 204, "{what}");
            assert_eq!(client.send("DELETE", &format!("/none?{what}"), &[], "").await.code(), "NoSuchBucket", "{what}");
        }
        if what != "policyStatus" {
            let reply = client.send("PUT", &format!("/bucket?{what}"), &[], "<Something/>").await;
            assert_eq!(reply.code(), "NotImplemented", "{what}");
        }
    }
    for (what, end) in [
        (
            "ownershipControls",
            "<Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>",
        ),
        ("requestPayment", "<Payer>BucketOwner</Payer></RequestPaymentConfiguration>"),
        ("logging", "></BucketLoggingStatus>"),
        ("notification", "></NotificationConfiguration>"),
        ("accelerate", "></AccelerateConfiguration>"),
    ] {
        let reply = client.send("GET", &format!("/bucket?{what}"), &[], "").await;
        assert!(reply.status == 200 && reply.text().ends_with(end), "{what} {}", reply.text());
    }
    let origin = [("origin", "http://app.example"), ("access-control-request-method", "GET")];
    for path in ["/bucket", "/bucket/key"] {
        let reply = client.send("OPTIONS", path, &origin, "").await;
        assert_eq!((reply.status.as_u16(), reply.code()), (403, "AccessForbidden".to_owned()));
    }
}

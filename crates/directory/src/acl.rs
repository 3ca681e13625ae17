//! ACLs of a storage in which everything is its one owner's, as S3 answers with the ownership `BucketOwnerEnforced`: an
//! ACL can be read, and be written where it gives nobody else anything.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};

use crate::error::{Answer, Code, S3Error, invalid_argument};
use crate::get::check_version;
use crate::list::{OWNER, owner};
use crate::put::must_exist;
use crate::request::{Call, text};
use crate::storage::Storage;
use crate::transfer::{blocking, receive_document};
use crate::xml::{Element, Writer, malformed};
use crate::{answer, record};

/// Bytes of an `AccessControlPolicy`: S3 takes a hundred grants.
const MAX_DOCUMENT: usize = 256 << 10;

/// Canned ACLs that leave all to the owner.
const OF_OWNER: [&str; 3] = ["private", "bucket-owner-full-control", "bucket-owner-read"];
/// Canned ACLs that give somebody else something.
const OF_OTHERS: [&str; 5] =
    ["public-read", "public-read-write", "authenticated-read", "aws-exec-read", "log-delivery-write"];

/// Refuses headers that ask for an ACL which gives somebody else something.
pub(crate) fn check_headers(headers: &HeaderMap) -> Result<(), S3Error> {
    if headers.keys().any(|name| name.as_str().starts_with("x-amz-grant-")) {
        return Err(not_supported());
    }
    match text(headers, "x-amz-acl")? {
        None => Ok(()),
        Some(canned) if OF_OWNER.contains(&canned) => Ok(()),
        Some(canned) if OF_OTHERS.contains(&canned) => Err(not_supported()),
        Some(_) => Err(invalid_argument("The value of x-amz-acl is no canned ACL.")),
    }
}

pub(crate) async fn get(storage: Arc<Storage>, call: Call) -> Answer {
    exists(storage, call).await?;
    let mut xml = Writer::new();
    xml.root("AccessControlPolicy");
    owner(&mut xml);
    xml.open("AccessControlList");
    xml.open("Grant");
    xml.open_typed("Grantee", "CanonicalUser");
    xml.text("ID", OWNER);
    xml.text("DisplayName", OWNER);
    xml.close("Grantee");
    xml.text("Permission", "FULL_CONTROL");
    xml.close("Grant");
    xml.close("AccessControlList");
    xml.close("AccessControlPolicy");
    Ok(answer::xml(xml.finish()))
}

/// What it would set is what is there; anything else was refused, by [`check_headers`] or by [`check_document`].
pub(crate) async fn put(storage: Arc<Storage>, mut call: Call) -> Answer {
    let body = std::mem::replace(&mut call.body, answer::empty());
    let document = receive_document(&call.headers, body, MAX_DOCUMENT).await?;
    if !call.headers.contains_key("x-amz-acl") {
        check_document(&document)?;
    } else if !document.is_empty() {
        return Err(invalid_argument("An ACL is given by x-amz-acl or by a document, not by both."));
    }
    exists(storage, call).await?;
    Ok(answer::status(StatusCode::OK))
}

async fn exists(storage: Arc<Storage>, call: Call) -> Result<(), S3Error> {
    check_version(&call.query)?;
    let Call { bucket, key, .. } = call;
    blocking(move || match key.as_str() {
        "" => must_exist(&storage, &bucket),
        key => record::read(&storage, &bucket, key).map(|_| ()),
    })
    .await
}

/// Refuses a document by which not all, and only, the owner has everything.
fn check_document(document: &[u8]) -> Result<(), S3Error> {
    if document.is_empty() {
        return Err(S3Error::new(
            Code::MissingSecurityHeader,
            "Your request was missing a required header: x-amz-acl.",
        ));
    }
    let policy = Element::parse(document, "AccessControlPolicy")?;
    let mut owners = policy.all("Owner");
    if let Some(owner) = owners.next()
        && owner.child("ID")?.map(str::trim).is_some_and(|id| id != OWNER)
    {
        return Err(not_supported());
    }
    let lists: Vec<_> = policy.all("AccessControlList").collect();
    let [list] = lists.as_slice() else { return Err(malformed()) };
    let grants: Vec<_> = list.all("Grant").collect();
    for grant in &grants {
        let mut grantees = grant.all("Grantee");
        let (Some(grantee), None) = (grantees.next(), grantees.next()) else { return Err(malformed()) };
        let of_owner = grantee.child("ID")?.map(str::trim) == Some(OWNER);
        if !of_owner || grant.required("Permission")?.trim() != "FULL_CONTROL" {
            return Err(not_supported());
        }
    }
    if grants.is_empty() { Err(not_supported()) } else { Ok(()) }
}

fn not_supported() -> S3Error {
    S3Error::new(
        Code::AccessControlListNotSupported,
        "The bucket does not allow ACLs: everything belongs to the owner of the storage. Give rights by the grants of a \
         credential.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acl_is_taken_only_where_it_gives_nobody_else_anything() {
        let code = |name: &'static str, value: &str| {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
            check_headers(&headers).map_err(|error| error.code())
        };
        for canned in OF_OWNER {
            assert_eq!(code("x-amz-acl", canned), Ok(()));
        }
        for canned in OF_OTHERS {
            assert_eq!(code("x-amz-acl", canned), Err(Code::AccessControlListNotSupported), "{canned}");
        }
        assert_eq!(code("x-amz-acl", "public-ready"), Err(Code::InvalidArgument));
        assert_eq!(code("x-amz-grant-read", "id=\"sealgate\""), Err(Code::AccessControlListNotSupported));
    }

    #[test]
    fn a_document_is_taken_only_where_it_says_what_is_so() {
        let grant =
            |who: &str, what: &str| format!("<Grant><Grantee>{who}</Grantee><Permission>{what}</Permission></Grant>");
        let check = |owner: &str, grants: &str| {
            let text = format!(
                "<AccessControlPolicy><Owner><ID>{owner}</ID></Owner><AccessControlList>{grants}</AccessControlList>\
                 </AccessControlPolicy>"
            );
            check_document(text.as_bytes()).map_err(|error| error.code())
        };
        let own = grant("<ID>sealgate</ID>", "FULL_CONTROL");
        assert_eq!(check("sealgate", &own), Ok(()));
        let refused = Err(Code::AccessControlListNotSupported);
        assert_eq!(check("somebody", &own), refused);
        assert_eq!(check("sealgate", ""), refused);
        for other in [
            grant("<ID>sealgate</ID>", "READ"),
            grant("<ID>somebody</ID>", "FULL_CONTROL"),
            grant("<URI>http://acs.amazonaws.com/groups/global/AllUsers</URI>", "READ"),
            grant("<EmailAddress>a@example</EmailAddress>", "FULL_CONTROL"),
        ] {
            assert_eq!(check("sealgate", &(own.clone() + &other)), refused, "{other}");
        }
        assert_eq!(check_document(b"").map_err(|error| error.code()), Err(Code::MissingSecurityHeader));
        assert_eq!(check_document(b"<Tagging/>").map_err(|error| error.code()), Err(Code::MalformedXml));
    }
}

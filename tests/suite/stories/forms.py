"""Forms that a script posts, presigned URLs of every operation, buckets in the host: over real sockets, by boto3's
signatures and urllib3's forms, against plain and encrypting buckets.
"""
import socket
import xml.etree.ElementTree

import botocore.auth
import urllib3
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from harness import *

AT = GATEWAYS[0]
PORT = AT["s3"].rpartition(":")[2]
HTTP = urllib3.PoolManager(retries=False)
FOUR = Config(signature_version="s3v4", retries={"total_max_attempts": 1})
s3, four = once(), client(config=FOUR)
BUCKETS = ("plain", "sealed")


def send(method, url, status, **more):
    answer = HTTP.request(method, url, redirect=False, **more)
    assert answer.status == status, f"{method} {url}: {answer.status}, not {status}: {answer.data[:600]}"
    return answer


def code(answer):
    return xml.etree.ElementTree.fromstring(answer.data).findtext("Code")


def post(form, content, status, *also, name="C:\\pictures\\photo.png", **changes):
    fields = list((form["fields"] | changes).items()) + [("file", (name, content, "image/png"))] + list(also)
    return send("POST", form["url"], status, fields=fields)


def absent(bucket, key):
    refused("404", 404, s3.head_object, Bucket=bucket, Key=key)


def forms(bucket):
    """What boto3 makes for a page, posted by urllib3."""
    fields = {"acl": "private", "Content-Type": "image/png", "x-amz-meta-by": "a page", "success_action_status": "201"}
    exact = [{name: value} for name, value in fields.items()]
    for size in (0, 70_000, 12 * MIB):
        content = some(size)
        for signer in (s3, four):
            made = signer.generate_presigned_post(
                bucket, "up/${filename}", fields, [*exact, ["content-length-range", 0, 20 * MIB]], ExpiresIn=600
            )
            answer = post(made, content, 201)
            told = xml.etree.ElementTree.fromstring(answer.data)
            assert (told.tag, told.findtext("Bucket"), told.findtext("Key")) == ("PostResponse", bucket, "up/photo.png")
            got = s3.get_object(Bucket=bucket, Key="up/photo.png")
            assert got["Body"].read() == content and got["ETag"] == told.findtext("ETag")
            assert (got["ContentType"], got["Metadata"]) == ("image/png", {"by": "a page"})
            assert is_sealed(bucket, "up/photo.png") == (bucket == "sealed")
    s3.delete_object(Bucket=bucket, Key="up/photo.png")

    made = four.generate_presigned_post(bucket, "k", {}, [["content-length-range", 3, 5]], ExpiresIn=600)
    for said, status, arguments in [
        ("EntityTooSmall", 400, {"content": b"ab"}),
        ("EntityTooLarge", 400, {"content": b"abcdef"}),
        ("AccessDenied", 403, {"content": b"abc", "key": "other"}),
        ("AccessDenied", 403, {"content": b"abc", "x-amz-storage-class": "STANDARD"}),
        ("SignatureDoesNotMatch", 403, {"content": b"abc", "x-amz-signature": "0" * 64}),
    ]:
        assert code(post(made, status=status, **arguments)) == said
    # Somebody posts the form to a bucket that it was not made for.
    elsewhere = made | {"url": made["url"].replace(bucket, "plain" if bucket == "sealed" else "sealed")}
    assert code(post(elsewhere, b"abc", 403)) == "AccessDenied"
    old = four.generate_presigned_post(bucket, "k", ExpiresIn=-1)
    assert code(post(old, b"abc", 403)) == "AccessDenied"
    assert code(post({"url": made["url"], "fields": {"key": "k"}}, b"abc", 403)) == "AccessDenied"
    two = post(made, b"abc", 400, ("file", ("b", b"b", "image/png")))
    assert code(two) == "IncorrectNumberOfFilesInPostRequest"
    for key in ("k", "other"):
        absent(bucket, key)
    # As the form of S3's documentation, whose button has a name and stands behind the file.
    post(made, b"abcd", 204, ("submit", "Upload"))
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"abcd"
    s3.delete_object(Bucket=bucket, Key="k")


def aged(method, path, expires):
    """A URL that is good for as long as no client would make one."""
    request = AWSRequest(method, f"{AT['s3']}/{path}")
    keys = Credentials(AT["access_key"], AT["secret_key"])
    botocore.auth.S3SigV4QueryAuth(keys, "s3", AT["region"], expires=expires).add_auth(request)
    return request.url


def presigned(bucket, signer):
    """Each operation by a URL alone."""

    def url(operation, expires=600, **params):
        return signer.generate_presigned_url(operation, {"Bucket": bucket, **params}, ExpiresIn=expires)

    content, key = some(100_000), "a b/\u00e4+%"
    send("PUT", url("put_object", Key=key), 200, body=content)
    assert is_sealed(bucket, key) == (bucket == "sealed")
    get = url("get_object", Key=key)
    assert send("GET", get, 200).data == content
    assert send("GET", get, 206, headers={"Range": "bytes=5-9"}).data == content[5:10]
    assert send("HEAD", url("head_object", Key=key), 200).headers["content-length"] == "100000"
    # A URL for one method or one key is good for no other.
    assert code(send("PUT", get, 403, body=b"x")) == "SignatureDoesNotMatch"
    assert code(send("GET", get.replace("a%20b", "a%20c"), 403)) == "SignatureDoesNotMatch"
    assert code(send("GET", get + "&versionId=x", 403)) == "SignatureDoesNotMatch"

    shown = {"ResponseContentType": "text/x", "ResponseContentDisposition": "attachment", "ResponseCacheControl": "no-store"}
    answer = send("GET", url("get_object", Key=key, **shown), 200)
    said = [answer.headers[name] for name in ("content-type", "content-disposition", "cache-control")]
    assert said == ["text/x", "attachment", "no-store"] and answer.data == content
    assert code(send("GET", get + "&response-content-type=text/html", 403)) == "SignatureDoesNotMatch"

    # What botocore signs by version 2 for a bucket in the path, no storage takes.
    buckets_too = signer is four
    if buckets_too:
        for operation in ("list_objects_v2", "list_objects"):
            assert b"<Size>100000</Size>" in send("GET", url(operation, Prefix="a b/"), 200).data
        send("HEAD", url("head_bucket"), 200)

    begun = send("POST", url("create_multipart_upload", Key="parts"), 200)
    upload = {"Key": "parts", "UploadId": begun.data.partition(b"<UploadId>")[2].partition(b"<")[0].decode()}
    part = send("PUT", url("upload_part", PartNumber=1, **upload), 200, body=content)
    etag = part.headers["etag"]
    assert f"{etag[1:-1]}".encode() in send("GET", url("list_parts", **upload), 200).data
    if buckets_too:
        assert upload["UploadId"].encode() in send("GET", url("list_multipart_uploads"), 200).data
    document = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    send("POST", url("complete_multipart_upload", **upload), 200, body=document.encode())
    assert send("GET", url("get_object", Key="parts"), 200).data == content
    begun = send("POST", url("create_multipart_upload", Key="left"), 200)
    left = begun.data.partition(b"<UploadId>")[2].partition(b"<")[0].decode()
    send("DELETE", url("abort_multipart_upload", Key="left", UploadId=left), 204)

    for name in (key, "parts"):
        send("DELETE", url("delete_object", Key=name), 204)
        absent(bucket, name)
    send("PUT", aged("PUT", f"{bucket}/late", -1), 403, body=b"x")
    absent(bucket, "late")


def bounds(bucket):
    """How long a URL may be good, and headers that it carries in its query."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    send("GET", aged("GET", f"{bucket}/k", 604_800), 200)
    for expires in (0, -7, 604_801):
        send("GET", aged("GET", f"{bucket}/k", expires), 403)

    def hoisted(query, expires=600):
        return aged("PUT", f"{bucket}/hoisted?{query}", expires)

    send("PUT", hoisted("x-amz-meta-colour=blue&x-amz-acl=private"), 200, body=b"x")
    assert s3.head_object(Bucket=bucket, Key="hoisted")["Metadata"] == {"colour": "blue"}
    # The header was not signed: another value would be the sender's own.
    answer = send("PUT", hoisted("x-amz-meta-colour=blue"), 403, body=b"x", headers={"x-amz-meta-colour": "red"})
    assert code(answer) == "AccessDenied"
    assert code(send("PUT", hoisted("x-amz-meta-gse-v=1"), 400, body=b"x")) == "InvalidArgument"
    for key in ("k", "hoisted"):
        s3.delete_object(Bucket=bucket, Key=key)


def hosted(bucket):
    """The bucket in the host, as SDKs have it by default. The names are resolved here, as a DNS would."""
    known = socket.getaddrinfo

    def resolve(host, *more, **named):
        return known("127.0.0.1" if str(host).endswith(".test") else host, *more, **named)

    socket.getaddrinfo = resolve
    try:
        for domain in ("s3.test", "storage.test"):
            there = boto3.session.Session().client(
                "s3",
                endpoint_url=f"http://{domain}:{PORT}",
                region_name=AT["region"],
                aws_access_key_id=AT["access_key"],
                aws_secret_access_key=AT["secret_key"],
                config=Config(s3={"addressing_style": "virtual"}, signature_version="s3v4"),
            )
            content = some(9 * MIB)
            assert there.generate_presigned_url("head_bucket", {"Bucket": bucket}).startswith(f"http://{bucket}.{domain}")
            there.upload_fileobj(io.BytesIO(content), bucket, "a b/parts")
            assert s3.get_object(Bucket=bucket, Key="a b/parts")["Body"].read() == content
            assert there.get_object(Bucket=bucket, Key="a b/parts")["Body"].read() == content
            assert [one["Size"] for one in there.list_objects_v2(Bucket=bucket)["Contents"]] == [9 * MIB]
            url = there.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a b/parts"})
            assert send("GET", url, 200).data == content
            made = there.generate_presigned_post(bucket, "posted", {"success_action_status": "201"}, [{"success_action_status": "201"}])
            told = xml.etree.ElementTree.fromstring(post(made, b"abc", 201).data)
            assert told.findtext("Location") == f"http://{bucket}.{domain}:{PORT}/posted"
            assert there.get_object(Bucket=bucket, Key="posted")["Body"].read() == b"abc"
            assert bucket in [one["Name"] for one in there.list_buckets()["Buckets"]]
            for key in ("posted", "a b/parts"):
                there.delete_object(Bucket=bucket, Key=key)
    finally:
        socket.getaddrinfo = known


for bucket in BUCKETS:
    s3.create_bucket(Bucket=bucket)
encrypt("sealed")
for bucket in BUCKETS:
    forms(bucket)
    for signer in (s3, four):
        presigned(bucket, signer)
    bounds(bucket)
    hosted(bucket)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)

"""What buckets and objects have besides bytes: CORS, website, access lists, policies, locks, tags, storage class, headers.

The same is done directly against the storage and through the gateway, plain and encrypting, and every answer is compared.
"""
import re

from harness import *

# Each service's own, or of the moment.
OWN = {"ResponseMetadata", "ETag", "LastModified", "VersionId", "RequestId", "HostId", "CopyObjectResult", "Message", "Location"}
# Of a sealed object alone.
OF_SEALING = {"ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled"}
# Ceph 16 keeps no checksums, the gateway does.
OF_CHECKSUMS = {"ChecksumCRC32", "ChecksumCRC64NVME", "ChecksumType"}
BODY = some(70_000)
LATER = "2030-01-01T00:00:00Z"
EVERYBODY = "http://acs.amazonaws.com/groups/global/AllUsers"


class Side:
    def __init__(self, s3, bucket):
        self.s3, self.bucket, self.host, self.told = s3, bucket, s3.meta.endpoint_url.removeprefix("http://"), []

    def shape(self, value):
        """An answer without what is each side's own; its names made the same."""
        if isinstance(value, dict):
            own = OWN | OF_SEALING | OF_CHECKSUMS
            return {name: self.shape(inner) for name, inner in sorted(value.items()) if name not in own}
        if isinstance(value, list):
            return [self.shape(inner) for inner in value]
        if hasattr(value, "read"):
            return hashlib.sha256(value.read()).hexdigest()
        return value.replace(self.bucket, "BUCKET") if isinstance(value, str) else str(value)

    def ask(self, what, **arguments):
        """One operation of boto3: its status, and what it says, or its code."""
        try:
            answer = getattr(self.s3, what)(Bucket=self.bucket, **arguments)
            said, status = self.shape(answer), answer["ResponseMetadata"]["HTTPStatusCode"]
        except ClientError as error:
            answer = None
            said, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        self.told.append((what, {name: value for name, value in arguments.items() if name not in OWN}, status, said))
        return answer

    def raw(self, method, key, **headers):
        """A request that nobody signed: its status, its headers that a browser looks at, its body."""
        connection = http.client.HTTPConnection(self.host, timeout=PATIENCE)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, f"/{self.bucket}/{key}", headers=names)
        answer = connection.getresponse()
        body = answer.read()
        # Of a list: when, and in which bucket.
        body = re.sub(rb"<LastModified>[^<]*</LastModified>|<ETag>[^<]*</ETag>", b"", body).replace(self.bucket.encode(), b"BUCKET")
        looked_at = {name.lower(): value for name, value in answer.getheaders() if name.lower().startswith("access-control-")}
        said = hashlib.sha256(body).hexdigest() if answer.status == 200 else answer.status
        self.told.append((method, key, names, looked_at, said))
        return answer.status, looked_at


def cors(side):
    side.ask("get_bucket_cors")
    rule = {
        "AllowedOrigins": ["https://*.example.com"],
        "AllowedMethods": ["GET", "PUT"],
        "AllowedHeaders": ["x-amz-*", "content-type"],
        "ExposeHeaders": ["ETag", "x-amz-meta-note"],
        "MaxAgeSeconds": 600,
    }
    side.ask("put_bucket_cors", CORSConfiguration={"CORSRules": [rule]})
    side.ask("get_bucket_cors")
    side.ask("put_object", Key="shared", Body=BODY, ACL="public-read", Metadata={"note": "seen"})
    good, other = "https://app.example.com", "https://example.org"
    wants = {"Access_Control_Request_Method": "PUT", "Access_Control_Request_Headers": "x-amz-date,content-type"}
    status, found = side.raw("OPTIONS", "shared", Origin=good, **wants)
    assert status == 200 and found["access-control-allow-origin"] == good, f"{side.host}: {status} {found}"
    side.raw("OPTIONS", "shared", Origin=other, **wants)
    side.raw("OPTIONS", "shared", Origin=good, Access_Control_Request_Method="DELETE")
    status, found = side.raw("GET", "shared", Origin=good)
    assert status == 200 and found["access-control-allow-origin"] == good, f"{side.host}: {status} {found}"
    side.raw("GET", "shared", Origin=other)
    side.raw("GET", "shared")
    side.ask("delete_bucket_cors")
    side.raw("OPTIONS", "shared", Origin=good, **wants)


def access(side):
    """Who may read without a signature."""
    side.ask("put_object", Key="mine", Body=BODY)
    side.raw("GET", "mine")
    side.ask("get_object_acl", Key="mine")
    for acl in ("public-read", "authenticated-read", "private", "no-such"):
        side.ask("put_object_acl", Key="mine", ACL=acl)
        side.ask("get_object_acl", Key="mine")
        side.raw("GET", "mine")
        side.raw("HEAD", "mine")
    side.ask("put_object", Key="given", Body=BODY, GrantRead=f'uri="{EVERYBODY}"')
    side.ask("get_object_acl", Key="given")
    side.raw("GET", "given")
    side.ask("get_bucket_acl")
    for acl in ("public-read", "private"):
        side.ask("put_bucket_acl", ACL=acl)
        side.ask("get_bucket_acl")
        side.raw("GET", "")
    statement = {
        "Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{side.bucket}/open/*"],
    }
    side.ask("put_object", Key="open/one", Body=BODY)
    side.ask("get_bucket_policy")
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    said = side.s3.put_bucket_policy(Bucket=side.bucket, Policy=policy)["ResponseMetadata"]["HTTPStatusCode"]
    side.told.append(("put_bucket_policy", said))
    side.ask("get_bucket_policy")
    side.ask("get_bucket_policy_status")
    side.raw("GET", "open/one")
    side.raw("GET", "mine")
    side.raw("PUT", "open/two")
    side.ask("delete_bucket_policy")
    side.raw("GET", "open/one")


def bucket(side):
    """What is set for a bucket, read, taken away, and read again."""
    days = [{"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 3}}]
    block = {name: True for name in ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")}
    for name, setting in (
        ("website", {"WebsiteConfiguration": {"IndexDocument": {"Suffix": "index.html"}}}),
        ("lifecycle_configuration", {"LifecycleConfiguration": {"Rules": days}}),
        ("tagging", {"Tagging": {"TagSet": [{"Key": "team", "Value": "ü & co"}]}}),
        ("ownership_controls", {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}}),
        ("request_payment", {"RequestPaymentConfiguration": {"Payer": "Requester"}}),
    ):
        side.ask(f"get_bucket_{name}")
        side.ask(f"put_bucket_{name}", **setting)
        side.ask(f"get_bucket_{name}")
        if name != "request_payment":
            side.ask("delete_bucket_lifecycle" if name == "lifecycle_configuration" else f"delete_bucket_{name}")
            side.ask(f"get_bucket_{name}")
    side.ask("put_bucket_request_payment", RequestPaymentConfiguration={"Payer": "BucketOwner"})
    side.ask("get_public_access_block")
    side.ask("put_public_access_block", PublicAccessBlockConfiguration=block)
    side.ask("get_public_access_block")
    side.ask("put_object_acl", Key="mine", ACL="public-read")
    side.ask("delete_public_access_block")
    side.ask("get_public_access_block")
    side.ask("get_bucket_logging")
    side.ask("get_bucket_location")
    side.ask("get_bucket_notification_configuration")


def headers(side):
    """What a client stores with its bytes and asks for in an answer."""
    shown = {
        "CacheControl": "no-store", "ContentDisposition": 'attachment; filename="ü.txt"'.encode().decode("latin-1"),
        "ContentEncoding": "gzip", "ContentLanguage": "de", "ContentType": "text/x-odd",
    }
    side.ask("put_object", Key="headers", Body=BODY, StorageClass="STANDARD", WebsiteRedirectLocation="/elsewhere", **shown)
    side.ask("head_object", Key="headers")
    over = {f"Response{name}": "text/plain" for name in ("CacheControl", "ContentDisposition", "ContentLanguage", "ContentType")}
    side.ask("get_object", Key="headers", **over)
    side.ask("get_object", Key="headers", Range="bytes=5-69", **over)
    side.ask("put_object", Key="cold", Body=BODY, StorageClass="NO_SUCH_CLASS")
    side.ask("put_object_tagging", Key="headers", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    side.ask("head_object", Key="headers")
    side.ask("delete_object_tagging", Key="headers")
    side.ask("get_object_tagging", Key="headers")


def locks(side):
    """A bucket whose versions cannot be taken away before their time."""
    side.ask("get_object_lock_configuration")
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    side.ask("put_object_lock_configuration", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule})
    side.ask("get_object_lock_configuration")
    made = side.ask("put_object", Key="by default", Body=BODY)
    side.told[-1][3].pop("ExpirationDate", None)
    version = made["VersionId"]
    kept = side.s3.get_object_retention(Bucket=side.bucket, Key="by default")["Retention"]
    side.told.append(("retention by default", kept["Mode"]))
    side.ask("delete_object", Key="by default", VersionId=version)
    side.ask("delete_object", Key="by default", VersionId=version, BypassGovernanceRetention=True)
    until = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": LATER, "ObjectLockLegalHoldStatus": "ON"}
    version = side.ask("put_object", Key="locked", Body=BODY, **until)["VersionId"]
    side.ask("head_object", Key="locked")
    side.ask("get_object_retention", Key="locked")
    side.ask("get_object_legal_hold", Key="locked")
    side.ask("put_object_legal_hold", Key="locked", LegalHold={"Status": "OFF"})
    side.ask("get_object_legal_hold", Key="locked")
    side.ask("put_object_retention", Key="locked", Retention={"Mode": "GOVERNANCE", "RetainUntilDate": "2029-01-01T00:00:00Z"})
    side.ask("put_object_retention", Key="locked", Retention={"Mode": "GOVERNANCE", "RetainUntilDate": "2031-01-01T00:00:00Z"})
    side.ask("get_object_retention", Key="locked")
    side.ask("delete_object", Key="locked", VersionId=version)
    side.ask("get_object", Key="locked")
    side.ask("delete_object", Key="locked", VersionId=version, BypassGovernanceRetention=True)
    upload = side.s3.create_multipart_upload(Bucket=side.bucket, Key="parts", **until)["UploadId"]
    at = {"Bucket": side.bucket, "Key": "parts", "UploadId": upload}
    part = side.s3.upload_part(**at, PartNumber=1, Body=BODY)["ETag"]
    side.s3.complete_multipart_upload(**at, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]})
    side.ask("head_object", Key="parts")
    # By default, from the moment of Create on: Ceph 16 passes over what Create says.
    side.told[-1][3].pop("ObjectLockRetainUntilDate")
    side.ask("get_object_legal_hold", Key="parts")


def everything(s3, name, encrypts):
    side = Side(s3, name)
    s3.create_bucket(Bucket=name)
    if encrypts:
        encrypt(name)
    for chapter in (cors, access, bucket, headers):
        chapter(side)
    told = side.told
    side = Side(s3, f"{name}-lock")
    s3.create_bucket(Bucket=side.bucket, ObjectLockEnabledForBucket=True)
    if encrypts:
        encrypt(side.bucket)
    locks(side)
    return told + side.told


expected = everything(upstream(), "settings-direct", False)
for name, encrypts in (("settings-plain", False), ("settings-sealed", True)):
    told = everything(client(), name, encrypts)
    different = [f"{ours}\nnot\n{theirs}" for ours, theirs in zip(told, expected) if ours != theirs]
    assert not different and len(told) == len(expected), f"{name}: {len(different)} answers differ:\n" + "\n\n".join(different)
    for entry in upstream().list_objects_v2(Bucket=name)["Contents"]:
        assert is_sealed(name, entry["Key"]) == encrypts, entry
print(f"{len(expected)} answers were the same, three times")

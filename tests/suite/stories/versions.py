"""Buckets that keep versions, over a storage that has them. The same is done through the gateway, plain and encrypting,
and directly against the storage, and every answer is compared: only where the bytes lie may differ.
"""
from harness import *

SMALL, LONG = 70_000, 11 * MIB
NAMES = ["one", "two", "three", "long", "parts"]
BODIES = {"one": some(SMALL, 1), "two": b"", "three": some(2 * MIB, 3), "long": some(LONG, 4), "parts": some(LONG, 5)}


class Side:
    """A client, the bucket that it works in, and what it was told."""

    def __init__(self, s3, bucket):
        self.s3, self.bucket, self.told, self.versions, self.etags = s3, bucket, [], {"null": "null"}, {}
        s3.create_bucket(Bucket=bucket)

    def tell(self, what, *said):
        self.told.append((what, *said))

    def version(self, name, answer):
        """Learns the ID of a version; what is compared is its name."""
        identity = answer.get("VersionId")
        if identity:
            self.versions[name] = identity
        self.etags[name] = answer.get("ETag", self.etags.get(name))
        self.tell(f"made {name}", bool(identity), identity == "null")

    def copied(self, name, source, key, answer):
        """The same of a copy: Ceph 16 does not say which version it has made of which one, and the gateway may."""
        made = answer["CopyObjectResult"]
        self.versions[name] = self.s3.head_object(Bucket=self.bucket, Key=key)["VersionId"]
        assert answer.get("VersionId") in (None, self.versions[name]), f"{self.bucket}: {name}"
        self.etags[name] = '"' + made["ETag"].strip('"') + '"'
        assert answer.get("CopySourceVersionId") in (None, self.versions[source]), f"{self.bucket}: {name}"

    def named(self, identity):
        return {identity: name for name, identity in self.versions.items()}.get(identity, "of no interest")

    def attempt(self, what, call, **arguments):
        """What came of it: an answer, or code and status."""
        try:
            return call(Bucket=self.bucket, **arguments)
        except ClientError as error:
            said, meta = error.response["Error"], error.response["ResponseMetadata"]
            marker = meta["HTTPHeaders"].get("x-amz-delete-marker")
            # Of a version that is none, as a source of a copy too, Ceph 16 says now the one and now the other.
            code = "NoSuchKey" if said["Code"] == "NoSuchVersion" else said["Code"]
            self.tell(what, code, meta["HTTPStatusCode"], marker)

    def put(self, name, key="k", **more):
        self.version(name, self.s3.put_object(Bucket=self.bucket, Key=key, Body=BODIES[name], Metadata={"name": name}, **more))

    def list_all(self, most=None, s3=None):
        """Every version and marker, page by page."""
        at, pages, seen = {}, 0, []
        while True:
            page = (s3 or self.s3).list_object_versions(Bucket=self.bucket, **at, **({"MaxKeys": most} if most else {}))
            pages += 1
            for entry in page.get("Versions", []):
                name = self.named(entry["VersionId"])
                etag = self.etags.get(name)
                assert not etag or entry["ETag"] == etag, f"{self.bucket}: {name} has {entry['ETag']} in the list, not {etag}"
                seen.append((entry["Key"], name, entry["Size"], entry["IsLatest"]))
            for entry in page.get("DeleteMarkers", []):
                seen.append((entry["Key"], self.named(entry["VersionId"]), "marker", entry["IsLatest"]))
            if not page["IsTruncated"]:
                return sorted(seen), pages
            at = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}

    def lists(self, when):
        self.tell(f"list {when}", *self.list_all())
        self.tell(f"list by 2 {when}", *self.list_all(2))
        current = self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        self.tell(f"current {when}", [(entry["Key"], entry["Size"]) for entry in current])

    def read(self, when, name, key="k", expected=None, **more):
        """GET, HEAD and a range of one version."""
        body = BODIES[expected or name]
        at = {"Key": key, "VersionId": self.versions[name], **more}
        for what, call in (("GET", self.s3.get_object), ("HEAD", self.s3.head_object)):
            got = self.attempt(f"{what} {name} {when}", call, **at)
            if got is None:
                continue
            assert got["ContentLength"] == len(body), f"{self.bucket} {what} {name} {when}: {got['ContentLength']}"
            assert what == "HEAD" or got["Body"].read() == body, f"{self.bucket} {name} {when}: other bytes"
            assert got["ETag"] == self.etags[name], f"{self.bucket} {name} {when}: {got['ETag']}"
            self.tell(f"{what} {name} {when}", self.named(got.get("VersionId")), got["Metadata"], got.get("TagCount"))
        if len(body) > 10:
            got = self.s3.get_object(Bucket=self.bucket, Range=f"bytes={len(body) - 10}-", **at)
            assert got["Body"].read() == body[-10:], f"{self.bucket} {name} {when}: a range"


def make(side, encrypts):
    """Versions of one key: by one request, in parts, as a copy; one from before the bucket encrypts."""
    s3 = side.s3
    s3.put_bucket_versioning(Bucket=side.bucket, VersioningConfiguration={"Status": "Enabled"})
    side.tell("versioning", s3.get_bucket_versioning(Bucket=side.bucket)["Status"])
    side.put("one")
    if encrypts:
        encrypt(side.bucket)
    side.put("two")
    side.put("three", Tagging="a=b")
    side.put("long")
    upload = s3.create_multipart_upload(Bucket=side.bucket, Key="k", Metadata={"name": "parts"})["UploadId"]
    parts = []
    for number, body in ((1, BODIES["parts"][: 6 * MIB]), (2, BODIES["parts"][6 * MIB :])):
        part = s3.upload_part(Bucket=side.bucket, Key="k", UploadId=upload, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    done = s3.complete_multipart_upload(Bucket=side.bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": parts})
    # Ceph 16 tells no ETag of it.
    side.version("parts", done | {"ETag": s3.head_object(Bucket=side.bucket, Key="k")["ETag"]})
    side.version("marker", s3.delete_object(Bucket=side.bucket, Key="k"))


def conditions(side):
    """What a version is read and overwritten by."""
    s3, at = side.s3, {"Key": "k", "VersionId": side.versions["three"]}
    for name in ("IfMatch", "IfNoneMatch"):
        for etag in (side.etags["three"], '"' + "0" * 32 + '"'):
            got = side.attempt(f"GET {name} {etag == side.etags['three']}", s3.get_object, **at, **{name: etag})
            assert got is None or got["Body"].read() == BODIES["three"]
    for name, etag in (("IfNoneMatch", "*"), ("IfMatch", side.etags["three"].strip('"'))):
        made = side.attempt(f"PUT {name}", s3.put_object, Key="conditional", Body=b"x", **{name: etag})
        side.tell(f"PUT {name}", made is not None)


def copies(side):
    """Each version to a key of its own, a range of one as a part, and an old one back to the front."""
    s3 = side.s3
    for name in NAMES:
        source = {"Bucket": side.bucket, "Key": "k", "VersionId": side.versions[name]}
        made = s3.copy_object(Bucket=side.bucket, Key=f"copy-{name}", CopySource=source)
        side.copied(f"copy of {name}", name, f"copy-{name}", made)
        side.read("as a copy", f"copy of {name}", f"copy-{name}", name)
    tags = s3.get_object_tagging(Bucket=side.bucket, Key="copy-three")["TagSet"]
    side.tell("tags of a copy", tags)
    upload = s3.create_multipart_upload(Bucket=side.bucket, Key="pieces")["UploadId"]
    source = {"Bucket": side.bucket, "Key": "k", "VersionId": side.versions["long"]}
    part = s3.upload_part_copy(
        Bucket=side.bucket, Key="pieces", UploadId=upload, PartNumber=1, CopySource=source, CopySourceRange="bytes=5-6000004"
    )["CopyPartResult"]
    s3.complete_multipart_upload(
        Bucket=side.bucket, Key="pieces", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    )
    assert s3.get_object(Bucket=side.bucket, Key="pieces")["Body"].read() == BODIES["long"][5:6_000_005]
    source["VersionId"] = side.versions["three"]
    made = s3.copy_object(Bucket=side.bucket, Key="k", CopySource=source)
    side.copied("three in front", "three", "k", made)
    side.read("in front", "three in front", expected="three")
    source["VersionId"] = side.versions["marker"]
    side.attempt("copy of a marker", s3.copy_object, Key="never", CopySource=source)
    s3.delete_object(Bucket=side.bucket, Key="k", VersionId=side.versions["three in front"])


def deletions(side):
    """One version at a time: the marker, so that what it hid is back; the newest; one in between; two by one request."""
    s3 = side.s3
    gone = s3.delete_object(Bucket=side.bucket, Key="k", VersionId=side.versions["marker"])
    side.tell("delete of the marker", gone.get("DeleteMarker"), side.named(gone.get("VersionId")))
    side.lists("without the marker")
    assert s3.get_object(Bucket=side.bucket, Key="k")["Body"].read() == BODIES["parts"], "what the marker hid is back"
    for name, now in (("parts", "long"), ("three", "long"), ("long", "two")):
        s3.delete_object(Bucket=side.bucket, Key="k", VersionId=side.versions[name])
        side.attempt(f"GET {name}, deleted", s3.get_object, Key="k", VersionId=side.versions[name])
        assert s3.get_object(Bucket=side.bucket, Key="k")["Body"].read() == BODIES[now], f"{now} is the newest"
        side.lists(f"without {name}")
    named = [{"Key": f"copy-{name}", "VersionId": side.versions[f"copy of {name}"]} for name in ("one", "long")]
    said = s3.delete_objects(Bucket=side.bucket, Delete={"Objects": [*named, {"Key": "k"}]})
    side.tell("delete of many", sorted((d["Key"], d.get("DeleteMarker"), "VersionId" in d) for d in said["Deleted"]))
    side.version("second marker", {"VersionId": s3.list_object_versions(Bucket=side.bucket, Prefix="k")["DeleteMarkers"][0]["VersionId"]})


def suspended(side):
    """Versions are kept no more: what is written now is the one without an ID, again and again."""
    s3 = side.s3
    s3.put_bucket_versioning(Bucket=side.bucket, VersioningConfiguration={"Status": "Suspended"})
    for name in ("three", "one"):
        made = s3.put_object(Bucket=side.bucket, Key="bare", Body=BODIES[name], Metadata={"name": name})
        side.tell("made while suspended", made.get("VersionId"))
        side.etags["null"] = made["ETag"]
        side.read("suspended", "null", "bare", name)
    side.lists("while suspended")


def everything(side, encrypts=False):
    make(side, encrypts)
    side.lists("with a marker in front")
    side.attempt("GET behind a marker", side.s3.get_object, Key="k")
    side.attempt("HEAD behind a marker", side.s3.head_object, Key="k")
    side.attempt("GET of the marker", side.s3.get_object, Key="k", VersionId=side.versions["marker"])
    side.attempt("GET of no version", side.s3.get_object, Key="k", VersionId="x" * 32)
    for name in NAMES:
        side.read("by its ID", name)
    side.tell("tags", side.s3.get_object_tagging(Bucket=side.bucket, Key="k", VersionId=side.versions["three"])["TagSet"])
    conditions(side)
    copies(side)
    deletions(side)
    suspended(side)
    side.list = side.list_all()
    return side


def lie_as_due(side, encrypts):
    """Past the gateway: what was written before the bucket encrypted is plain, all else is sealed."""
    direct, sealed = upstream(), 0
    for entry in direct.list_object_versions(Bucket=side.bucket)["Versions"]:
        head = direct.head_object(Bucket=side.bucket, Key=entry["Key"], VersionId=entry["VersionId"])
        is_first = entry["VersionId"] == side.versions["one"]
        assert ("gse-v" in head["Metadata"]) == (encrypts and not is_first), f"{entry}"
        sealed += "gse-v" in head["Metadata"]
    assert (sealed > 5) == encrypts, f"{sealed} are sealed"


expected = everything(Side(upstream(), "versions-direct"))
for bucket, encrypts in (("versions-plain", False), ("versions-sealed", True)):
    side = everything(Side(client(), bucket), encrypts)
    assert len(side.told) == len(expected.told), f"{len(side.told)} answers, not {len(expected.told)}"
    for ours, theirs in zip(side.told, expected.told):
        assert ours == theirs, f"{bucket}:\n{ours}\nnot\n{theirs}"
    lie_as_due(side, encrypts)
    # A member that wrote nothing of it has no size at hand.
    assert side.list_all(s3=client(1)) == side.list, f"{bucket}: another member lists otherwise"
print(f"{len(expected.told)} answers were the same, three times")

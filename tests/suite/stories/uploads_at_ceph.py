"""What Ceph does otherwise than S3 about uploads in parts and the names of headers, and does not make the gateway fail or say less."""
from harness import *

s3, direct = client(), upstream()
PARTS = [some(5 * MIB, 1), some(1000, 2)]


def begin(s3, bucket, **more):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", **more)["UploadId"]
    send = lambda number, body: s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=number, Body=body)
    parts = [{"PartNumber": n, "ETag": send(n, body)["ETag"]} for n, body in enumerate(PARTS, 1)]
    return {"Bucket": bucket, "Key": "k", "UploadId": upload}, {"Parts": parts}


def metadata_that_leaves_no_room():
    """Ceph tells no ETag of the object, so the gateway looks which object lies there. It must know its own by more than
    metadata, where the client's fills all of that. Ceph takes more than S3 allows."""
    for length in (1500, 1700, 1900, 2000, 2040, 9000, 15_000):
        metadata = {"m": "x" * (length - 1)}
        at, parts = begin(s3, "sealed", Metadata=metadata)
        for attempt in (1, 2):
            done = s3.complete_multipart_upload(**at, MultipartUpload=parts)
            got = s3.get_object(Bucket="sealed", Key="k")
            assert got["Body"].read() == b"".join(PARTS), f"{length}"
            assert (got["Metadata"], got["ETag"]) == (metadata, done["ETag"]), f"{length}, attempt {attempt}"
        assert is_sealed("sealed", "k")
        s3.put_object(Bucket="sealed", Key="whole", Body=PARTS[1], Metadata=metadata)
        assert s3.head_object(Bucket="sealed", Key="whole")["Metadata"] == metadata, f"{length}"


def whose_uploads_are():
    """A list of parts and one of uploads say it as the storage does."""
    whose = lambda answer: [answer.get(name) for name in ("Owner", "Initiator")]
    said = {}
    for name, s3_of, bucket in (("direct", direct, "direct"), ("plain", s3, "plain"), ("sealed", s3, "sealed")):
        at, _ = begin(s3_of, bucket)
        listed = s3_of.list_parts(**at)
        assert [part["Size"] for part in listed["Parts"]] == [len(body) for body in PARTS], f"{name}: {listed['Parts']}"
        uploads = s3_of.list_multipart_uploads(Bucket=bucket)["Uploads"]
        assert [upload["UploadId"] for upload in uploads] == [at["UploadId"]], f"{name}: {uploads}"
        said[name] = (whose(listed), whose(uploads[0]))
        s3_of.abort_multipart_upload(**at)
        refused("NoSuchUpload" if name == "sealed" else "NoSuchKey", 404, s3_of.list_parts, **at)
    assert said["sealed"] == said["plain"] == said["direct"], said
    assert said["direct"][0][0], "Ceph says whose the parts are"


def copies_say_their_checksums():
    """Of what the gateway has sealed, which Ceph knows no checksum of."""
    crc = base64.b64encode(zlib.crc32(PARTS[0]).to_bytes(4, "big")).decode()
    for size, body in (("small", PARTS[1]), ("long", PARTS[0])):
        made = s3.put_object(Bucket="sealed", Key=size, Body=body, ChecksumAlgorithm="CRC32")
        for to, how in (("copy", {}), ("described", {"MetadataDirective": "REPLACE", "Metadata": {"a": "b"}})):
            copied = s3.copy_object(Bucket="sealed", Key=to, CopySource={"Bucket": "sealed", "Key": size}, **how)
            said = copied["CopyObjectResult"]
            assert said.get("ChecksumCRC32") == made["ChecksumCRC32"], f"{size} {to}: {said}"
            assert said.get("ChecksumType") == "FULL_OBJECT", f"{size} {to}: {said}"
            head = s3.head_object(Bucket="sealed", Key=to, ChecksumMode="ENABLED")
            assert (head["ChecksumCRC32"], head["ETag"]) == (said["ChecksumCRC32"], said["ETag"]), f"{size} {to}"
    assert made["ChecksumCRC32"] == crc
    other = s3.copy_object(
        Bucket="sealed", Key="other", CopySource={"Bucket": "sealed", "Key": "long"}, ChecksumAlgorithm="SHA256"
    )["CopyObjectResult"]
    assert other["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(PARTS[0]).digest()).decode(), other
    upload = s3.create_multipart_upload(Bucket="sealed", Key="pieces", ChecksumAlgorithm="CRC32")["UploadId"]
    at = {"Bucket": "sealed", "Key": "pieces", "UploadId": upload, "PartNumber": 1}
    part = s3.upload_part_copy(**at, CopySource={"Bucket": "sealed", "Key": "long"})["CopyPartResult"]
    assert part.get("ChecksumCRC32") == crc, part
    s3.abort_multipart_upload(Bucket="sealed", Key="pieces", UploadId=upload)
    # A plain source has none that is known, and the sealed copy gets one.
    s3.put_object(Bucket="plain", Key="plain", Body=PARTS[0])
    said = s3.copy_object(Bucket="sealed", Key="was-plain", CopySource={"Bucket": "plain", "Key": "plain"})["CopyObjectResult"]
    assert "ChecksumCRC64NVME" in said, said


def copies_of_what_was_begun_with_tags():
    """Ceph loses the tags of such an upload, and answers with nothing when it is asked for them."""
    for bucket in ("plain", "sealed"):
        at, parts = begin(s3, bucket, Tagging="a=b")
        s3.complete_multipart_upload(**at, MultipartUpload=parts)
        s3.copy_object(Bucket="sealed", Key="copy", CopySource={"Bucket": bucket, "Key": "k"})
        assert s3.get_object(Bucket="sealed", Key="copy")["Body"].read() == b"".join(PARTS), bucket
        assert is_sealed("sealed", "copy")


def headers_that_only_look_like_s3s():
    """Ceph reads `_` in a name as `-`, also in the signature. Nothing that was not checked may be copied by that."""
    direct.put_object(Bucket="direct", Key="secret", Body=b"secret")
    for asked, bucket, read in ((upstream(), "direct", b"secret"), (client(), "plain", b"")):
        name = lambda request, **_: request.headers.add_header("x_amz_copy_source", "/direct/secret")
        asked.meta.events.register("before-sign.s3.PutObject", name)
        asked.put_object(Bucket=bucket, Key="looks", Body=b"")
        assert asked.get_object(Bucket=bucket, Key="looks")["Body"].read() == read, bucket


for side, bucket in ((s3, "plain"), (s3, "sealed"), (direct, "direct")):
    side.create_bucket(Bucket=bucket)
encrypt("sealed")
metadata_that_leaves_no_room()
whose_uploads_are()
copies_say_their_checksums()
copies_of_what_was_begun_with_tags()
headers_that_only_look_like_s3s()

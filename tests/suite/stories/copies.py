"""Copies, in steps, between which the test counts what the gateway moves. Argument: make, copy, read, or pairs."""
from harness import *

s3 = client()
BODY = some(64 * MIB)
SUM = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
COPIES = [("sealed", "k"), ("other", "copy"), ("other", "described"), ("sealed", "parts-copy")]


def make():
    for bucket in ("sealed", "other"):
        s3.create_bucket(Bucket=bucket)
        encrypt(bucket)
    s3.put_object(Bucket="sealed", Key="k", Body=BODY, Metadata={"who": "me"}, Tagging="a=b", ChecksumAlgorithm="SHA256")
    s3.upload_fileobj(io.BytesIO(BODY), "sealed", "parts")


def copy():
    """Onto itself, to another bucket, with other metadata, and of parts."""
    source = {"Bucket": "sealed", "Key": "k"}
    s3.copy_object(Bucket="other", Key="copy", CopySource=source)
    s3.copy_object(Bucket="other", Key="described", CopySource=source, MetadataDirective="REPLACE", Metadata={"who": "you"})
    s3.copy_object(Bucket="sealed", Key="k", CopySource=source, MetadataDirective="REPLACE", Metadata={"who": "you"})
    s3.copy_object(Bucket="sealed", Key="parts-copy", CopySource={"Bucket": "sealed", "Key": "parts"})
    refused("PreconditionFailed", 412, once().copy_object, Bucket="other", Key="copy", CopySource=source, IfNoneMatch="*")
    refused(
        "PreconditionFailed", 412, once().copy_object,
        Bucket="other", Key="never", CopySource=source, CopySourceIfMatch="0" * 32 + "-1",
    )


def read():
    for bucket, key in COPIES:
        got = s3.get_object(Bucket=bucket, Key=key)
        assert got["Body"].read() == BODY, f"{bucket}/{key}"
        if key != "parts-copy":
            head = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
            assert head["ChecksumSHA256"] == SUM, f"{bucket}/{key}"
            assert got["Metadata"]["who"] == ("me" if key == "copy" else "you"), f"{bucket}/{key}: {got['Metadata']}"
            assert s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"] == [{"Key": "a", "Value": "b"}], f"{bucket}/{key}"
        assert is_sealed(bucket, key)
        entry = s3.list_objects_v2(Bucket=bucket, Prefix=key)["Contents"][0]
        assert (entry["Size"], entry["ETag"]) == (len(BODY), got["ETag"]), f"{bucket}/{key}: {entry}"
    count = s3.head_object(Bucket="sealed", Key="parts", PartNumber=1)["PartsCount"]
    for place in range(1, count + 1):
        got = s3.get_object(Bucket="sealed", Key="parts-copy", PartNumber=place)
        assert got["PartsCount"] == count
        assert got["Body"].read() == BODY[(place - 1) * 8 * MIB : place * 8 * MIB], f"part {place}"
    for bucket in ("sealed", "other"):
        assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def pairs():
    """CopyObject and UploadPartCopy, from plain and sealed to plain and sealed; ranges; keys with what is special."""
    s3.create_bucket(Bucket="plain")
    body = some(11 * MIB, 7)
    for source in ("plain", "sealed"):
        for key in ("source", "a b+c?versionId=d%2f\u00e4"):
            s3.put_object(Bucket=source, Key=key, Body=body)
        for target in ("plain", "sealed"):
            for key in ("source", "a b+c?versionId=d%2f\u00e4"):
                at = {"Bucket": source, "Key": key}
                with nothing_left_but(target, "to"):
                    s3.copy_object(Bucket=target, Key="to", CopySource=at)
                assert s3.get_object(Bucket=target, Key="to")["Body"].read() == body, f"{source} {target} {key}"
                # What is encrypted stays so.
                assert is_sealed(target, "to") == ("sealed" in (source, target)), f"{source} {target}"
                upload = s3.create_multipart_upload(Bucket=target, Key="parts-to")["UploadId"]
                if (source, target) == ("sealed", "plain"):
                    # What is encrypted stays so: by parts only where the upload encrypts.
                    refused(
                        "InvalidRequest", 400, once().upload_part_copy,
                        Bucket=target, Key="parts-to", UploadId=upload, PartNumber=1, CopySource=at,
                    )
                    s3.abort_multipart_upload(Bucket=target, Key="parts-to", UploadId=upload)
                    upload = s3.create_multipart_upload(
                        Bucket=target, Key="parts-to", ServerSideEncryption="aws:kms"
                    )["UploadId"]
                ranges = [(3, 6 * MIB + 2), (0, 5 * MIB - 1), (len(body) - 1, len(body) - 1)]
                parts = []
                for number, (first, last) in enumerate(ranges, 1):
                    part = s3.upload_part_copy(
                        Bucket=target, Key="parts-to", UploadId=upload, PartNumber=number, CopySource=at,
                        CopySourceRange=f"bytes={first}-{last}",
                    )
                    parts.append({"PartNumber": number, "ETag": part["CopyPartResult"]["ETag"]})
                for text, code, status in (("bytes=0-99999999", "InvalidRange", 416), ("bytes=2-1", "InvalidArgument", 400)):
                    refused(
                        code, status, once().upload_part_copy,
                        Bucket=target, Key="parts-to", UploadId=upload, PartNumber=9, CopySource=at, CopySourceRange=text,
                    )
                s3.complete_multipart_upload(
                    Bucket=target, Key="parts-to", UploadId=upload, MultipartUpload={"Parts": parts}
                )
                joined = b"".join(body[first : last + 1] for first, last in ranges)
                got = s3.get_object(Bucket=target, Key="parts-to")["Body"].read()
                assert got == joined, f"{source} {target} {key}: {len(got)} bytes"
                assert is_sealed(target, "parts-to") == ("sealed" in (source, target)), f"{source} {target}"


@contextlib.contextmanager
def nothing_left_but(bucket, key):
    """No upload and no state of one is there afterwards."""
    yield
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket), f"{bucket}/{key}"
    left = [path for path in tree() if path.startswith(f"{SYSTEM}/objects/mp")]
    assert not [path for path in left if "/copy" in path], left


globals()[sys.argv[1]]()

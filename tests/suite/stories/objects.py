"""Sizes, ranges and parts: the same bytes and the plaintext's size by every read, encrypted and not."""
from harness import *

s3 = client()
SMALL = [0, 1, 65_535, 65_536, 65_537]
LARGE = 100 * MIB
UNEVEN = [(1, 5 * MIB + 1), (2, 6 * MIB), (5, 5 * MIB), (9_000, 7)]


def same(got, expected, what):
    # Not shown: they are long.
    assert got == expected, f"{what}: {len(got)} bytes that are not the {len(expected)} stored ones"


def check_range(bucket, key, body, text, first, last):
    """`first` and `last` as Content-Range has them; None: nothing of the range is in the object."""
    what, size = f"{bucket}/{key} {text}", len(body)
    if first is None:
        try:
            s3.get_object(Bucket=bucket, Key=key, Range=text)
        except ClientError as error:
            got = error.response
            assert got["Error"]["Code"] == "InvalidRange", what
            assert got["ResponseMetadata"]["HTTPStatusCode"] == 416, what
            headers = got["ResponseMetadata"]["HTTPHeaders"]
            assert headers.get("content-range") == f"bytes */{size}", f"{what}: {headers}"
            return
        raise AssertionError(f"{what} was not refused")
    for read in (s3.get_object, s3.head_object):
        got = read(Bucket=bucket, Key=key, Range=text)
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206, what
        assert got["ContentRange"] == f"bytes {first}-{last}/{size}", f"{what}: {got['ContentRange']}"
        assert got["ContentLength"] == last + 1 - first, what
        if "Body" in got:
            same(got["Body"].read(), body[first : last + 1], what)


def check_ranges(bucket, key, body, borders):
    size = len(body)
    end = size - 1
    past = [(f"bytes={size}-", None, None), (f"bytes={size}-{size + 9}", None, None), ("bytes=-0", None, None)]
    if size == 0:
        past.append(("bytes=-5", None, None))
    else:
        past += [
            ("bytes=0-0", 0, 0),
            (f"bytes={end}-{end}", end, end),
            ("bytes=-1", end, end),
            (f"bytes=-{size}", 0, end),
            (f"bytes=-{size + 1}", 0, end),
            (f"bytes={size // 2}-", size // 2, end),
            (f"bytes={size // 3}-{size + 1000}", size // 3, end),
        ]
    for border in borders:
        for first, last in [(border - 1, border), (border - 1, border - 1), (border, border), (border - 7, border + 70_000)]:
            if 0 <= first and last < size:
                past.append((f"bytes={first}-{last}", first, last))
    for text, first, last in past:
        check_range(bucket, key, body, text, first, last)


def listed(bucket, prefix):
    """What both versions of the list say of the one object with this prefix; they must agree."""
    one = s3.list_objects(Bucket=bucket, Prefix=prefix)["Contents"]
    two = s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    assert len(one) == len(two) == 1, prefix
    for field in ("Key", "Size", "ETag"):
        assert one[0][field] == two[0][field], f"{prefix} {field}"
    return one[0]


def check_reads(bucket, key, body, etag=None):
    """GET, HEAD and both lists; gives the ETag that all of them show."""
    got, head, entry = s3.get_object(Bucket=bucket, Key=key), s3.head_object(Bucket=bucket, Key=key), listed(bucket, key)
    same(got["Body"].read(), body, f"{bucket}/{key}")
    sizes = (got["ContentLength"], head["ContentLength"], entry["Size"])
    assert sizes == (len(body),) * 3, f"{bucket}/{key}: GET, HEAD, list say {sizes}"
    etags = {got["ETag"], head["ETag"], entry["ETag"]} | ({etag} if etag else set())
    assert len(etags) == 1, f"{bucket}/{key}: {etags}"
    for answer in (got, head):
        kms = answer.get("ServerSideEncryption")
        assert (kms == "aws:kms") == (bucket == "sealed"), f"{bucket}/{key}: {kms}"
        assert not [name for name in answer["Metadata"] if name.startswith("gse")], f"{bucket}/{key}: ours is shown"


def check_stored(bucket, key, body):
    data = stored(bucket, key)
    assert is_sealed(bucket, key) == (bucket == "sealed"), f"{bucket}/{key}"
    if bucket == "plain":
        same(data.read_bytes(), body, f"the stored file of {bucket}/{key}")
    elif body:
        assert len(body) < data.stat().st_size < len(body) * 1.001 + 16 * KIB, f"{bucket}/{key}"
        assert len(body) < 100 or body[:100] not in data.read_bytes(), f"{bucket}/{key} holds plaintext"


def sizes(bucket):
    for size in SMALL:
        key, body = f"size-{size}.", some(size)
        etag = s3.put_object(Bucket=bucket, Key=key, Body=body)["ETag"]
        check_reads(bucket, key, body, etag)
        check_stored(bucket, key, body)
        check_ranges(bucket, key, body, [65_536])
    whole = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert sorted(entry["Size"] for entry in whole) == SMALL, whole


def large(bucket):
    body = some(LARGE)
    borders = [65_536, 50 * MIB, 99 * MIB + 65_536]
    etag = s3.put_object(Bucket=bucket, Key="large-single", Body=body)["ETag"]
    check_reads(bucket, "large-single", body, etag)
    check_stored(bucket, "large-single", body)
    check_ranges(bucket, "large-single", body, borders)
    # The transfer manager: 13 parts of 8 MiB and less, several at a time.
    s3.upload_fileobj(io.BytesIO(body), bucket, "large-parts")
    check_reads(bucket, "large-parts", body)
    check_stored(bucket, "large-parts", body)
    check_ranges(bucket, "large-parts", body, [8 * MIB, 64 * MIB, 96 * MIB])
    back = io.BytesIO()
    s3.download_fileobj(bucket, "large-parts", back)
    same(back.getvalue(), body, "what the transfer manager reads by ranges")
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "large-single"}, {"Key": "large-parts"}]})


def uneven(bucket):
    key = "uneven"
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key, ContentType="text/csv", Metadata={"who": "me"})["UploadId"]
    assert upload.startswith("gse1.") == (bucket == "sealed"), upload
    parts, bodies = [], [some(size, number) for number, size in UNEVEN]
    # Not in their order.
    for index in (2, 0, 3, 1):
        number = UNEVEN[index][0]
        part = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=bodies[index])
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    parts.sort(key=lambda part: part["PartNumber"])
    shown = s3.list_parts(Bucket=bucket, Key=key, UploadId=upload)["Parts"]
    assert [(part["PartNumber"], part["Size"]) for part in shown] == UNEVEN, shown
    assert [part["ETag"] for part in shown] == [part["ETag"] for part in parts], shown
    named = [(one["Key"], one["UploadId"]) for one in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]]
    assert named == [(key, upload)], named
    done = s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts})
    body = b"".join(bodies)
    check_reads(bucket, key, body, done["ETag"])
    check_stored(bucket, key, body)
    head = s3.head_object(Bucket=bucket, Key=key)
    assert (head["ContentType"], head["Metadata"]) == ("text/csv", {"who": "me"}), head
    edges = [sum(size for _, size in UNEVEN[: index + 1]) for index in range(3)]
    check_ranges(bucket, key, body, edges)
    # One range over all four parts but the ends.
    check_range(bucket, key, body, f"bytes=3-{len(body) - 3}", 3, len(body) - 3)
    for place, part in enumerate(bodies, 1):
        got = s3.get_object(Bucket=bucket, Key=key, PartNumber=place)
        same(got["Body"].read(), part, f"part {place}")
        assert got["PartsCount"] == len(bodies), got["PartsCount"]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


for bucket in ("plain", "sealed"):
    s3.create_bucket(Bucket=bucket)
encrypt("sealed")
for bucket in ("plain", "sealed"):
    sizes(bucket)
    uneven(bucket)
    large(bucket)

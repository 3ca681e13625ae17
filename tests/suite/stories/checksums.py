"""Checksums: declared, computed by default, of objects in parts; given back by every answer that S3 gives them in.

Arguments: the folder of the installed tools, and a folder to work in.
"""
from awscrt.checksums import XXHash
from harness import *

TOOLS, WORK = map(pathlib.Path, sys.argv[1:])
s3 = client()
BUCKETS = ["plain", "sealed"]
ATTRIBUTES = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]


def reflected(polynomial, width):
    """A CRC that is computed bit by bit from its polynomial: another implementation than that of the gateway."""
    ones = (1 << width) - 1
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
        table.append(value)

    def crc(data):
        state = ones
        for byte in data:
            state = state >> 8 ^ table[(state ^ byte) & 255]
        return (state ^ ones).to_bytes(width // 8, "big")

    return crc


ALGORITHMS = {
    "CRC32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "CRC32C": reflected(0x82F63B78, 32),
    "CRC64NVME": reflected(0x9A6C9329AC4BC9B5, 64),
    "SHA1": lambda data: hashlib.sha1(data).digest(),
    "SHA256": lambda data: hashlib.sha256(data).digest(),
    "SHA512": lambda data: hashlib.sha512(data).digest(),
    "MD5": lambda data: hashlib.md5(data).digest(),
    "XXHASH64": XXHash.compute_xxhash64,
    "XXHASH3": XXHash.compute_xxhash3_64,
    "XXHASH128": XXHash.compute_xxhash3_128,
}


def value(name, data):
    return base64.b64encode(ALGORITHMS[name](data)).decode()


def shown(answer):
    """Every checksum of an answer."""
    return {name.removeprefix("Checksum"): said for name, said in answer.items() if name.startswith("Checksum")}


def lies_nowhere(name, *sums):
    """Nothing that the storage has says one of these values of plaintext: raw, as S3 writes it, in hex."""
    forms = [form for raw in sums for form in (base64.b64encode(raw).rstrip(b"="), raw.hex().encode())]
    # Four bytes are found in any ciphertext that is long enough.
    forms += [raw for raw in sums if len(raw) > 4]
    for path in STORAGE.rglob("*"):
        if path.is_file() and path.relative_to(STORAGE).parts[0] != "plain":
            lies = path.read_bytes() + path.name.encode()
            found = [form for form in forms if form in lies]
            assert not found, f"{name}: a checksum of the plaintext lies open in {path}"


def check_object(bucket, key, body, expected, etag):
    """The same checksum by every read, and none where none is asked for."""
    what = f"{bucket}/{key}"
    assert shown(s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")) == expected, what
    # boto3 asks for it, and verifies what it knows how to compute.
    got = s3.get_object(Bucket=bucket, Key=key)
    assert got["Body"].read() == body, f"{what}: other bytes"
    assert shown(got) == expected, f"{what}: {shown(got)}"
    assert shown(s3.head_object(Bucket=bucket, Key=key)) == {}, what
    told = s3.get_object_attributes(Bucket=bucket, Key=key, ObjectAttributes=ATTRIBUTES)
    assert shown(told["Checksum"]) == expected, f"{what}: {told}"
    assert (told["ObjectSize"], told["ETag"], told["StorageClass"]) == (len(body), etag.strip('"'), "STANDARD"), f"{what}: {told}"
    return told


for bucket in BUCKETS:
    s3.create_bucket(Bucket=bucket)
    if bucket == "sealed":
        encrypt(bucket)

    # As boto3 does it unasked, and as a client that knows of none.
    body = some(100_000)
    put = s3.put_object(Bucket=bucket, Key="default", Body=body)
    told = check_object(bucket, "default", body, {"CRC32": value("CRC32", body), "Type": "FULL_OBJECT"}, put["ETag"])
    assert "ObjectParts" not in told, told
    old = client(config=Config(request_checksum_calculation="when_required"))
    put = old.put_object(Bucket=bucket, Key="old", Body=body)
    check_object(bucket, "old", body, {"CRC64NVME": value("CRC64NVME", body), "Type": "FULL_OBJECT"}, put["ETag"])
    assert is_sealed(bucket, "old") == (bucket == "sealed")
    if bucket == "sealed":
        lies_nowhere("CRC64NVME", ALGORITHMS["CRC64NVME"](body))

    for name in ALGORITHMS:
        for size in (0, 1, 70_000):
            body = some(size)
            key, right = f"{name}-{size}", value(name, body)
            put = s3.put_object(Bucket=bucket, Key=key, Body=body, **{f"Checksum{name}": right})
            assert shown(put) == {name: right, "Type": "FULL_OBJECT"}, put
            check_object(bucket, key, body, {name: right, "Type": "FULL_OBJECT"}, put["ETag"])
            wrong = {f"Checksum{name}": value(name, b"other")}
            refused("BadDigest", 400, once().put_object, Bucket=bucket, Key="never", Body=body, **wrong)
        if bucket == "sealed":
            lies_nowhere(name, ALGORITHMS[name](body))

    # An upload in parts as the transfer manager makes it by default, and by an algorithm that is asked for.
    large = some(20 * MIB)
    (WORK / "large").write_bytes(large)
    pieces = [large[start : start + 8 * MIB] for start in range(0, len(large), 8 * MIB)]
    for name in ("CRC32", "SHA256", "SHA1", "SHA512", "XXHASH64", "XXHASH3", "XXHASH128"):
        arguments = {} if name == "CRC32" else {"ChecksumAlgorithm": name}
        s3.upload_file(str(WORK / "large"), bucket, "large", ExtraArgs=arguments)
        parts = b"".join(ALGORITHMS[name](piece) for piece in pieces)
        expected = {name: f"{value(name, parts)}-3", "Type": "COMPOSITE"}
        if bucket == "sealed":
            lies_nowhere(name, ALGORITHMS[name](parts), *(ALGORITHMS[name](piece) for piece in pieces))
        etag = s3.head_object(Bucket=bucket, Key="large")["ETag"]
        told = check_object(bucket, "large", large, expected, etag)["ObjectParts"]
        assert told["TotalPartsCount"] == 3 and not told["IsTruncated"], told
        assert [part["PartNumber"] for part in told["Parts"]] == [1, 2, 3], told
        assert [part[f"Checksum{name}"] for part in told["Parts"]] == [value(name, piece) for piece in pieces], told
        second = s3.get_object(Bucket=bucket, Key="large", PartNumber=2)
        assert second["Body"].read() == pieces[1]
        assert shown(second) == {name: value(name, pieces[1]), "Type": "COMPOSITE"}, shown(second)
        page = s3.get_object_attributes(
            Bucket=bucket, Key="large", ObjectAttributes=["ObjectParts"], MaxParts=1, PartNumberMarker=1
        )["ObjectParts"]
        assert (page["Parts"][0]["PartNumber"], page["NextPartNumberMarker"], page["IsTruncated"]) == (2, 2, True), page
        s3.download_file(bucket, "large", str(WORK / "back"))
        assert (WORK / "back").read_bytes() == large

    # Of the whole: what the client says of it is held against the parts.
    begun = s3.create_multipart_upload(Bucket=bucket, Key="whole", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    assert shown(begun) == {"Algorithm": "CRC32", "Type": "FULL_OBJECT"}, begun
    at = {"Bucket": bucket, "Key": "whole", "UploadId": begun["UploadId"]}
    parts = []
    for number, piece in enumerate(pieces, 1):
        part = s3.upload_part(**at, PartNumber=number, Body=piece)
        parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]})
    listed = s3.list_parts(**at)
    assert shown(listed) == {"Algorithm": "CRC32", "Type": "FULL_OBJECT"}, listed
    assert [part["ChecksumCRC32"] for part in listed["Parts"]] == [value("CRC32", piece) for piece in pieces]
    [upload] = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert shown(upload) == {"Algorithm": "CRC32", "Type": "FULL_OBJECT"}, upload
    complete = lambda parts, **more: once().complete_multipart_upload(**at, MultipartUpload={"Parts": parts}, **more)
    right = value("CRC32", large)
    refused("InvalidPart", 400, complete, parts=[parts[0] | {"ChecksumCRC32": right}, *parts[1:]])
    refused("BadDigest", 400, complete, parts=parts, ChecksumCRC32=value("CRC32", b"other"))
    refused("InvalidRequest", 400, complete, parts=parts, MpuObjectSize=len(large) - 1)
    refused("InvalidRequest", 400, complete, parts=parts, ChecksumType="COMPOSITE")
    done = complete(parts, ChecksumCRC32=right, ChecksumType="FULL_OBJECT", MpuObjectSize=len(large))
    assert shown(done) == {"CRC32": right, "Type": "FULL_OBJECT"}, done
    check_object(bucket, "whole", large, {"CRC32": right, "Type": "FULL_OBJECT"}, done["ETag"])
    refused(
        "InvalidRequest", 400, once().create_multipart_upload, Bucket=bucket, Key="never",
        ChecksumAlgorithm="SHA256", ChecksumType="FULL_OBJECT",
    )

    # awscli, which checks by itself what it uploads and downloads.
    environment = os.environ | {
        "HOME": str(WORK),
        "AWS_ACCESS_KEY_ID": GATEWAYS[0]["access_key"],
        "AWS_SECRET_ACCESS_KEY": GATEWAYS[0]["secret_key"],
        "AWS_DEFAULT_REGION": GATEWAYS[0]["region"],
        "AWS_ENDPOINT_URL": GATEWAYS[0]["s3"],
    }

    def aws(*command):
        done = subprocess.run([TOOLS / "aws/bin/aws", *command], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done.stdout

    aws("s3", "cp", str(WORK / "large"), f"s3://{bucket}/aws")
    aws("s3", "cp", f"s3://{bucket}/aws", str(WORK / "back"))
    assert (WORK / "back").read_bytes() == large
    head = json.loads(aws("s3api", "head-object", "--bucket", bucket, "--key", "aws", "--checksum-mode", "ENABLED"))
    assert shown(head).get("Type") in ("COMPOSITE", "FULL_OBJECT"), head
    assert not [entry for entry in s3.list_objects_v2(Bucket=bucket)["Contents"] if entry["Key"] == "never"]

print("ok")

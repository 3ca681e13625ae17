"""Requests that must not succeed: the proper error, nothing stored, nothing left behind, and the counts settled.

Run with two buckets, `plain` and `sealed`; `sealed` has its toggle on.
"""
import socket
import types
from datetime import datetime, timedelta, timezone

import botocore.auth
import botocore.crt.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from harness import *

s3, quick = client(), once()
AT = GATEWAYS[0]
HOST, PORT = AT["s3"].removeprefix("http://").split(":")
BUCKETS = ("plain", "sealed")
BODY = some(200_000)


def gone(bucket, key):
    refused("404", 404, s3.head_object, Bucket=bucket, Key=key)


def signed(method, path, headers=None, body=b"", trailer=False, query=""):
    """A request signed as botocore does it, with a body that is not signed."""
    url = f"{AT['s3']}{path}{'?' + query if query else ''}"
    request = AWSRequest(method, url, headers=dict(headers or {}), data=body)
    request.context["payload_signing_enabled"] = False
    if trailer:
        request.context["checksum"] = {"request_algorithm": {"in": "trailer"}}
    else:
        request.headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
    auth = botocore.auth.S3SigV4Auth(Credentials(AT["access_key"], AT["secret_key"]), "s3", AT["region"])
    auth.add_auth(request)
    return request


def send(method, path, headers=None, body=b"", trailer=False, query="", cut=None):
    """The same over a bare socket: status, and the code of the error. `cut`: so many bytes of the body, and then the
    client is gone."""
    request = signed(method, path, headers, body, trailer, query)
    target = path + ("?" + query if query else "")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {HOST}:{PORT}", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items() if name.lower() not in ("host", "content-length")]
    with socket.create_connection((HOST, int(PORT)), timeout=PATIENCE) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        if cut is not None:
            before = tree()
            connection.sendall(body[:cut])
            if cut > MIB:
                wait_for("the upload lies half-way in the storage", lambda: tree() != before)
            # As a process that is killed: the kernel resets what was not read.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(body)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(65_536):
                answer += piece
    head, _, rest = answer.partition(b"\r\n\r\n")
    code = rest.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()
    return int(head.split()[1]), code


def wrong_checks():
    """Content-MD5 and checksums in headers, of whole objects and of parts."""
    # Of no body: CRCs of nothing are 0.
    ones = lambda count: base64.b64encode(bytes([1]) * count).decode()
    wrong = [
        ("BadDigest", {"ContentMD5": ones(16)}),
        ("InvalidDigest", {"ContentMD5": ones(15)}),
        ("BadDigest", {"ChecksumCRC32": ones(4)}),
        ("BadDigest", {"ChecksumCRC32C": ones(4)}),
        ("BadDigest", {"ChecksumCRC64NVME": ones(8)}),
        ("BadDigest", {"ChecksumSHA1": ones(20)}),
        ("BadDigest", {"ChecksumSHA256": ones(32)}),
        ("BadDigest", {"ChecksumSHA256": ones(31)}),
    ]
    for bucket in BUCKETS:
        with nothing_left():
            for code, headers in wrong:
                for body in (BODY, b""):
                    refused(code, 400, s3.put_object, Bucket=bucket, Key="wrong", Body=body, **headers)
        kept = s3.put_object(Bucket=bucket, Key="kept", Body=b"what was there")
        with nothing_left():
            refused("BadDigest", 400, s3.put_object, Bucket=bucket, Key="kept", Body=BODY, ContentMD5=ones(16))
        got = s3.get_object(Bucket=bucket, Key="kept")
        assert (got["ETag"], got["Body"].read()) == (kept["ETag"], b"what was there")
        upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
        part = {"Bucket": bucket, "Key": "parts", "UploadId": upload, "PartNumber": 1}
        with nothing_left():
            for code, headers in wrong:
                for body in (BODY, some(5 * MIB)) if "ContentMD5" in headers else (BODY,):
                    refused(code, 400, s3.upload_part, Body=body, **part, **headers)
            assert "Parts" not in s3.list_parts(Bucket=bucket, Key="parts", UploadId=upload)
        s3.abort_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload)


def wrong_trailers():
    crc = base64.b64encode(zlib.crc32(BODY).to_bytes(4, "big")).decode()
    right = f"x-amz-checksum-crc32:{crc}\r\n"
    upload = {bucket: s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"] for bucket in BUCKETS}
    for bucket in BUCKETS:
        for key, query in (("trailer", ""), ("parts", f"partNumber=1&uploadId={upload[bucket]}")):
            for trailer, length, expected in (
                ("x-amz-checksum-crc32:AAAAAQ==\r\n", len(BODY), (400, "BadDigest")),
                ("x-amz-checksum-crc32:AAAA\r\n", len(BODY), (400, "BadDigest")),
                ("x-amz-checksum-sha1:AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n", len(BODY), (400, "InvalidRequest")),
                ("", len(BODY), (400, "InvalidRequest")),
                (right, len(BODY) + 1, (400, "IncompleteBody")),
                (right, len(BODY) - 1, (400, "IncompleteBody")),
            ):
                chunks = f"{len(BODY):x}\r\n".encode() + BODY + f"\r\n0\r\n{trailer}\r\n".encode()
                headers = {
                    "Content-Encoding": "aws-chunked",
                    "X-Amz-Decoded-Content-Length": str(length),
                    "X-Amz-Trailer": "x-amz-checksum-crc32",
                }
                with nothing_left():
                    got = send("PUT", f"/{bucket}/{key}", headers, chunks, trailer=True, query=query)
                    assert got == expected, f"{bucket}/{key} {trailer!r} {length}: {got}"
        gone(bucket, "trailer")
        # The same with the right trailer is taken: what is refused above is refused for what is wrong in it.
        chunks = f"{len(BODY):x}\r\n".encode() + BODY + f"\r\n0\r\n{right}\r\n".encode()
        headers["X-Amz-Decoded-Content-Length"] = str(len(BODY))
        assert send("PUT", f"/{bucket}/trailer", headers, chunks, trailer=True) == (200, "")
        assert s3.get_object(Bucket=bucket, Key="trailer")["Body"].read() == BODY
        s3.abort_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload[bucket])


def memory():
    """Bytes that the gateway takes now, and at most since the last call."""
    lines = pathlib.Path(f"/proc/{AT['pid']}/status").read_text().splitlines()
    now, peak = (int(next(line for line in lines if line.startswith(name)).split()[1]) * KIB for name in ("VmRSS", "VmHWM"))
    pathlib.Path(f"/proc/{AT['pid']}/clear_refs").write_text("5")
    return now, peak


def huge_chunk():
    """One chunk of the coding that is many times what the gateway may take in memory: stored where it is whole, and
    refused where it has no end."""
    size = 192 * MIB
    data = f"{size:x}\r\n".encode() + bytes(size) + b"\r\n"
    crc = base64.b64encode(zlib.crc32(bytes(size)).to_bytes(4, "big"))
    headers = {
        "Content-Encoding": "aws-chunked",
        "X-Amz-Decoded-Content-Length": str(size),
        "X-Amz-Trailer": "x-amz-checksum-crc32",
    }
    for bucket in BUCKETS:
        for what, chunks, expected in (
            ("whole", data + b"0\r\nx-amz-checksum-crc32:" + crc + b"\r\n\r\n", (200, "")),
            ("without its end", data, (400, "IncompleteBody")),
        ):
            before, _ = memory()
            with contextlib.nullcontext() if expected[0] == 200 else nothing_left():
                got = send("PUT", f"/{bucket}/huge", headers, chunks, trailer=True)
            _, peak = memory()
            assert got == expected, f"{bucket} {what}: {got}"
            assert peak < before + 48 * MIB, f"{bucket} {what}: {(peak - before) // MIB} MiB for a chunk of {size // MIB}"
            if expected[0] == 200:
                assert s3.head_object(Bucket=bucket, Key="huge")["ContentLength"] == size
                s3.delete_object(Bucket=bucket, Key="huge")
            gone(bucket, "huge")


def dying_clients():
    """Gone in the middle, at the first byte, and before the last; also behind a whole chunk of the coding."""
    large = some(3_000_000)
    for bucket in BUCKETS:
        upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
        for key, query in (("dying", ""), ("parts", f"partNumber=1&uploadId={upload}")):
            with nothing_left():
                for cut in (0, 1, 1_500_000, len(large) - 1):
                    send("PUT", f"/{bucket}/{key}", {}, large, query=query, cut=cut)
                chunks = f"{len(BODY):x}\r\n".encode() + BODY + b"\r\n0\r\nx-amz-checksum-crc32:AAAA"
                headers = {
                    "Content-Encoding": "aws-chunked",
                    "X-Amz-Decoded-Content-Length": str(len(BODY)),
                    "X-Amz-Trailer": "x-amz-checksum-crc32",
                }
                for cut in (100, len(BODY) + 8, len(chunks) - 1):
                    send("PUT", f"/{bucket}/{key}", headers, chunks, trailer=True, query=query, cut=cut)
        gone(bucket, "dying")
        assert "Parts" not in s3.list_parts(Bucket=bucket, Key="parts", UploadId=upload)
        s3.abort_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload)


def wrong_signatures():
    stranger = client(key="SGNOBODY", secret=AT["secret_key"])
    liar = client(secret="not the secret")
    long_ago = datetime.now(timezone.utc) - timedelta(hours=1)
    with nothing_left():
        for bucket in BUCKETS:
            for method, more in (("put_object", {"Body": BODY}), ("get_object", {}), ("create_multipart_upload", {})):
                arguments = {"Bucket": bucket, "Key": "k", **more}
                refused("SignatureDoesNotMatch", 403, getattr(liar, method), **arguments)
                refused("InvalidAccessKeyId", 403, getattr(stranger, method), **arguments)
            for method, http_method in (("put_object", "PUT"), ("get_object", "GET")):
                parameters = {"Bucket": bucket, "Key": "kept"}
                body = BODY if http_method == "PUT" else None
                # As boto3 makes them by default, and by the newer signature.
                for signer in (s3, client(config=Config(signature_version="s3v4"))):
                    sign = lambda: signer.generate_presigned_url(method, Params=parameters, ExpiresIn=600)
                    with clock(long_ago):
                        expired = sign()
                    good = sign()
                    for what, url, codes in (
                        ("expired", expired, {"AccessDenied"}),
                        ("of another key", good.replace("/kept?", "/keqt?"), {"SignatureDoesNotMatch"}),
                        ("unsigned", good.partition("?")[0], {"AccessDenied"}),
                    ):
                        status, code = fetch(http_method, url, body)
                        assert status == 403 and code in codes, f"{http_method} {what} {url}: {status} {code}"
                    if http_method == "GET":
                        assert fetch(http_method, good) == (200, b"what was there")


@contextlib.contextmanager
def clock(now):
    """botocore's clock stands at `now`."""
    still = lambda remove_tzinfo=True: now.replace(tzinfo=None) if remove_tzinfo else now
    stands = {
        (botocore.auth, "get_current_datetime"): still,
        (botocore.crt.auth, "get_current_datetime"): still,
        (botocore.auth, "time"): types.SimpleNamespace(time=now.timestamp),
    }
    goes = {of: getattr(*of) for of in stands}
    for of, what in stands.items():
        setattr(*of, what)
    try:
        yield
    finally:
        for of, what in goes.items():
            setattr(*of, what)


def fetch(method, url, body=None):
    request = urllib.request.Request(url, method=method, data=body)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read().partition(b"<Code>")[2].partition(b"</Code>")[0].decode()


def credential(name, *grants):
    grants = [{"buckets": list(buckets), "actions": list(actions)} for buckets, actions in grants]
    status, made = admin("POST", "/credentials", {"name": name, "grants": grants})
    assert status == 201, made
    return client(key=made["access_key"], secret=made["secret_key"])


def grants():
    elsewhere = credential("elsewhere", (["elsewhere-*"], ["read", "write", "delete", "list", "manage"]))
    writer = credential("writer", (["plain"], ["write", "list", "read"]), (["sealed"], ["write"]))
    reader = credential("reader", (["sealed", "plain"], ["read"]))
    with nothing_left():
        for bucket in BUCKETS:
            object_ = {"Bucket": bucket, "Key": "kept"}
            for call, more in (
                ("put_object", object_ | {"Body": b"x"}),
                ("get_object", object_),
                ("delete_object", object_),
                ("create_multipart_upload", object_),
                ("copy_object", object_ | {"CopySource": {"Bucket": "plain", "Key": "kept"}}),
                ("list_objects_v2", {"Bucket": bucket}),
                ("put_bucket_encryption", {"Bucket": bucket, "ServerSideEncryptionConfiguration": {
                    "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}}),
                ("delete_bucket_encryption", {"Bucket": bucket}),
                ("delete_objects", {"Bucket": bucket, "Delete": {"Objects": [{"Key": "kept"}]}}),
                ("put_object_acl", object_ | {"ACL": "public-read"}),
            ):
                refused("AccessDenied", 403, getattr(elsewhere, call), **more)
                if call != "get_object":
                    refused("AccessDenied", 403, getattr(reader, call), **more)
        refused("403", 403, elsewhere.head_object, Bucket="plain", Key="kept")
        # `writer` may write both buckets, and read only one of them.
        source = {"Bucket": "sealed", "Key": "kept"}
        refused("AccessDenied", 403, writer.copy_object, Bucket="plain", Key="stolen", CopySource=source)
        refused("AccessDenied", 403, writer.get_object, **source)
        gone("plain", "stolen")
    upload = writer.create_multipart_upload(Bucket="plain", Key="stolen")["UploadId"]
    named = {"Bucket": "plain", "Key": "stolen", "UploadId": upload}
    with nothing_left():
        refused("AccessDenied", 403, writer.upload_part_copy, PartNumber=1, CopySource=source, **named)
    s3.abort_multipart_upload(**named)
    for bucket in BUCKETS:
        assert s3.get_object(Bucket=bucket, Key="kept")["Body"].read() == b"what was there"
    assert admin("GET", "/buckets/sealed")[1]["encrypt"] and not admin("GET", "/buckets/plain")[1]["encrypt"]


def unknown():
    """What is in no row of the table of operations, for somebody who may do everything."""
    for bucket in BUCKETS:
        with nothing_left():
            for method, path, query, headers in (
                ("PUT", f"/{bucket}/kept", "nonsense", {}),
                ("GET", f"/{bucket}/kept", "nonsense", {}),
                ("POST", f"/{bucket}/kept", "nonsense", {}),
                ("DELETE", f"/{bucket}/kept", "nonsense", {}),
                ("PUT", f"/{bucket}/kept", "append&position=14", {}),
                ("PUT", f"/{bucket}/kept", "acl&tagging", {}),
                ("GET", f"/{bucket}/kept", "torrent", {}),
                ("POST", f"/{bucket}/kept", "select&select-type=2", {}),
                ("PUT", f"/{bucket}/kept", "renameObject", {"x-amz-rename-source": "/kept"}),
                ("PUT", f"/{bucket}/kept", "", {"x-amz-write-offset-bytes": "14"}),
                ("GET", f"/{bucket}", "nonsense", {}),
                ("PUT", f"/{bucket}", "nonsense", {}),
            ):
                status, code = send(method, path, headers, b"x" if method in ("PUT", "POST") else b"", query=query)
                assert (status, code) == (501, "NotImplemented"), f"{method} {path}?{query} {headers}: {status} {code}"
        assert s3.get_object(Bucket=bucket, Key="kept")["Body"].read() == b"what was there"


def reserved():
    """Headers that are ours, by whatever way they come."""
    for bucket in BUCKETS:
        with nothing_left():
            for name in ("gse-v", "gse-h", "gse-x", "GSE-KMS"):
                metadata = {"Metadata": {name: "1"}}
                for call, more in (
                    ("put_object", {"Body": BODY}),
                    ("create_multipart_upload", {}),
                    ("copy_object", {"CopySource": {"Bucket": "plain", "Key": "kept"}, "MetadataDirective": "REPLACE"}),
                ):
                    refused("InvalidArgument", 400, getattr(s3, call), "reserved", Bucket=bucket, Key="reserved", **metadata, **more)
            # In a presigned URL a header may stand in the query, where nobody looks for it.
            hidden = client(config=Config(signature_version="s3v4")).generate_presigned_url(
                "put_object", Params={"Bucket": bucket, "Key": "reserved", "Metadata": {"gse-v": "1"}}
            )
            for url in (hidden, hidden.replace("x-amz-meta-gse-v", "X-Amz-Meta-Gse-V")):
                request = urllib.request.Request(url, method="PUT", data=BODY, headers={"x-amz-meta-gse-v": "1"})
                try:
                    urllib.request.urlopen(request, timeout=PATIENCE)
                    raise AssertionError("a reserved header was taken")
                except urllib.error.HTTPError as error:
                    assert error.code in (400, 403), error
        gone(bucket, "reserved")


def counts():
    """What Central says of `in` and `out`, summed over policies: (bucket, outcome) → objects."""
    found = {}
    for row in sealgate_json("stats")["rows"]:
        found[row["bucket"], row["outcome"]] = found.get((row["bucket"], row["outcome"]), 0) + row["objects"]
    return found


def at_rest():
    """The counts once Central has that of an object that was stored after everything else: what the gateway counted before
    it is in the same report, or in an earlier one."""
    s3.create_bucket(Bucket="last")
    s3.put_object(Bucket="last", Key="k", Body=BODY)
    return wait_for("the last object is counted", lambda: (now := counts()).get(("last", "plain")) and now)


def settled():
    """Nothing of all this hangs in the journal: the gateway is killed, and what it had not settled would be shown."""
    wait_for("what was refused is counted", lambda: counts().get(("sealed", "failed")))
    before = at_rest()
    os.kill(AT["pid"], 9)
    wait_for("the gateway serves again", serves)
    s3.put_object(Bucket="sealed", Key="after", Body=b"after")
    after = wait_for("the object after the kill is counted", lambda: (now := counts())[
        "sealed", "encrypted"] > before["sealed", "encrypted"] and now)
    assert not [row for row in after if row[1] == "indeterminate"], after
    assert after["sealed", "failed"] == before["sealed", "failed"], f"{before} → {after}"


def serves():
    with contextlib.suppress(botocore.exceptions.BotoCoreError, ClientError):
        return quick.list_buckets()


def no_kms():
    """The active KMS is removed: what was cached of it must be gone as well."""
    s3.create_bucket(Bucket="later")
    assert sealgate("kms", "remove", "dev-rsa", "--confirm", "dev-rsa").returncode == 0
    without_key()
    for key in ("kept", "after"):
        refused("SlowDown", 503, quick.get_object, "dev-rsa", Bucket="sealed", Key=key)


def without_key():
    """Encryption is due, and no key can be had."""
    magic = b"\x89SEALGT\n" + BODY
    with nothing_left():
        for bucket, more in (("sealed", {}), ("plain", {"ServerSideEncryption": "aws:kms"}), ("plain", {"ServerSideEncryption": "AES256"})):
            for call, arguments in (
                ("put_object", {"Body": BODY}),
                ("put_object", {"Body": b""}),
                ("create_multipart_upload", {}),
                ("copy_object", {"CopySource": {"Bucket": "plain", "Key": "kept"}}),
            ):
                try:
                    raise AssertionError(getattr(quick, call)(Bucket=bucket, Key="due", **arguments, **more))
                except ClientError as error:
                    answer = error.response["ResponseMetadata"]
                    assert answer["HTTPStatusCode"] == 503 and error.response["Error"]["Code"] == "SlowDown", error
                    assert "retry-after" in answer["HTTPHeaders"], answer
        # A plain body that would be taken for a sealed one.
        refused("SlowDown", 503, quick.put_object, Bucket="plain", Key="due", Body=magic)
    for bucket in BUCKETS:
        gone(bucket, "due")
    s3.put_object(Bucket="plain", Key="not-due", Body=BODY)
    assert s3.get_object(Bucket="plain", Key="not-due")["Body"].read() == BODY


for bucket in BUCKETS:
    s3.create_bucket(Bucket=bucket)
encrypt("sealed")
if sys.argv[1:] == ["without-kms"]:
    s3.put_object(Bucket="plain", Key="kept", Body=b"what was there")
    without_key()
else:
    for story in (wrong_checks, wrong_trailers, huge_chunk, dying_clients, wrong_signatures, grants, unknown, reserved, settled, no_kms):
        begun = time.monotonic()
        story()
        print(f"{story.__name__}: {time.monotonic() - begun:.1f} s")

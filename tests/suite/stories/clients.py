"""The clients that people have, with their default settings: what they copied they take for copied.

Arguments: the folder of the installed tools, a folder to work in, and docs/CLIENTS.md. Each client works in a bucket that encrypts
and in one that does not. All are run, whatever fails; then all that failed is told.
"""
import asyncio
import datetime
import functools
import ipaddress
import queue
import re
import ssl
import threading
import traceback

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness import *

TOOLS, WORK, DOCUMENT = map(pathlib.Path, sys.argv[1:])
URL = GATEWAYS[0]["s3"]
HOST = URL.removeprefix("http://")
KINDS = ("sealed", "plain")
s3 = client()


def run(*command, **more):
    """Runs a tool; what it said on both channels."""
    environment = os.environ | {"HOME": str(WORK), "AWS_ENDPOINT_URL": URL, "RESTIC_PASSWORD": "secret"} | more
    command = [str(word) for word in command]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=WORK)
    assert done.returncode == 0, f"{command} exits with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def files(name):
    """Files of many sizes, one of them large enough for a multipart upload, with names that need quoting."""
    made = WORK / name
    bodies = {
        "empty": b"",
        "one": b"1",
        "with space/and+plus": some(70_000),
        "ü/100%": some(65_536),
        "deep/er/still/file.txt": b"text\n" * 1000,
        "large.bin": some(9 * MIB),
    }
    for path, body in bodies.items():
        (made / path).parent.mkdir(parents=True, exist_ok=True)
        (made / path).write_bytes(body)
        # Not of this second: some tools copy again what changed just now.
        os.utime(made / path, (1_700_000_000, 1_700_000_000))
    return made


def same_folder(left, right):
    names = lambda at: {str(path.relative_to(at)): path.read_bytes() for path in at.rglob("*") if path.is_file()}
    left, right = names(left), names(right)
    assert left.keys() == right.keys(), left.keys() ^ right.keys()
    assert not [name for name in left if left[name] != right[name]]


def listed(bucket):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {entry["Key"]: entry for page in pages for entry in page.get("Contents", [])}


def as_due(bucket):
    """Each object of the bucket lies there as its name says."""
    kinds = {is_sealed(bucket, key) for key in listed(bucket)}
    assert kinds == {bucket.startswith("sealed")}, f"{bucket}: sealed are {kinds}"


def make(bucket):
    s3.create_bucket(Bucket=bucket)
    if bucket.startswith("sealed"):
        encrypt(bucket)
    return bucket


@contextlib.contextmanager
def tls():
    """TLS in front of the gateway, as a load balancer has it: the address, and the file of who signed for it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate())
    at, over = queue.Queue(), asyncio.Event()

    async def carry(reader, writer):
        # One that is broken off ends the other direction as well.
        with contextlib.suppress(OSError):
            while data := await reader.read(64 * KIB):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def accept(reader, writer):
        to = await asyncio.open_connection(*HOST.split(":"))
        await asyncio.gather(carry(reader, to[1]), carry(to[0], writer))

    async def serve():
        server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
        at.put((asyncio.get_running_loop(), server.sockets[0].getsockname()[1]))
        await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    loop, port = at.get(timeout=PATIENCE)
    try:
        yield f"https://127.0.0.1:{port}", certificate()[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()


@functools.cache
def certificate():
    """A certificate for 127.0.0.1 that signs for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = made.add_extension(alternative, False).sign(key, hashes.SHA256())
    paths = WORK / "front.pem", WORK / "front.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    return paths


def boto3_objects(kind):
    bucket, body, large = make(f"{kind}-boto3"), some(70_000), some(9 * MIB)
    # CRC32 is the default; the others need the CRT.
    for algorithm in ("CRC32", "CRC32C", "SHA1", "SHA256", "SHA512", "CRC64NVME", "XXHASH64", "XXHASH3", "XXHASH128"):
        s3.put_object(Bucket=bucket, Key=algorithm, Body=body, ChecksumAlgorithm=algorithm, Metadata={"of": algorithm})
        got = s3.get_object(Bucket=bucket, Key=algorithm, ChecksumMode="ENABLED")
        assert got["Body"].read() == body and got["Metadata"] == {"of": algorithm}, algorithm
    assert s3.get_object(Bucket=bucket, Key="CRC32", Range="bytes=65530-65545")["Body"].read() == body[65530:65546]
    # By the transfer manager, above its threshold of 8 MiB: in parts there, by ranges back, and as a copy in parts.
    s3.upload_fileobj(io.BytesIO(large), bucket, "ü/100%")
    s3.copy({"Bucket": bucket, "Key": "ü/100%"}, bucket, "copy in parts")
    for key in ("ü/100%", "copy in parts"):
        back = io.BytesIO()
        s3.download_fileobj(bucket, key, back)
        assert back.getvalue() == large, key
    s3.copy({"Bucket": bucket, "Key": "CRC32"}, bucket, "copy")
    head = s3.head_object(Bucket=bucket, Key="copy")
    assert head["ContentLength"] == len(body) and head["Metadata"] == {"of": "CRC32"}, head
    refused("PreconditionFailed", 412, s3.put_object, Bucket=bucket, Key="copy", Body=body, IfNoneMatch="*")
    refused("304", 304, s3.get_object, Bucket=bucket, Key="copy", IfNoneMatch=head["ETag"])
    assert s3.get_object(Bucket=bucket, Key="copy", IfMatch=head["ETag"])["Body"].read() == body
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "copy"})
    assert urllib.request.urlopen(url).read() == body
    s3.put_object_tagging(Bucket=bucket, Key="copy", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert s3.get_object_tagging(Bucket=bucket, Key="copy")["TagSet"] == [{"Key": "a", "Value": "b"}]
    # Ceph 16 lists it without an ETag from then on; its size is shown nevertheless.
    s3.delete_object_tagging(Bucket=bucket, Key="SHA1")
    entries = listed(bucket)
    sizes = {key: entry["Size"] for key, entry in entries.items()}
    assert sizes == {key: len(large if key in ("ü/100%", "copy in parts") else body) for key in sizes}, sizes
    assert entries["copy"]["ETag"] == head["ETag"]
    as_due(bucket)
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in entries]})
    s3.delete_bucket(Bucket=bucket)


def aws_large(kind):
    """200 MB, by parallel parts, there and back."""
    # Plain ones are the story `objects`; over another storage 9 MiB are parts enough.
    if kind == "plain" or UPSTREAM:
        return
    aws = TOOLS / "aws/bin/aws"
    large = WORK / "large"
    body = some(200_000_000)
    large.write_bytes(body)
    bucket = make(f"{kind}-cp")
    run(aws, "s3", "cp", large, f"s3://{bucket}/large", "--no-progress")
    run(aws, "s3", "cp", f"s3://{bucket}/large", "back", "--no-progress")
    assert (WORK / "back").read_bytes() == body, bucket
    head = s3.head_object(Bucket=bucket, Key="large")
    assert head["ContentLength"] == len(body) and "-2" in head["ETag"], "a multipart upload"
    as_due(bucket)
    run(aws, "s3", "rm", f"s3://{bucket}/large")
    large.unlink()
    (WORK / "back").unlink()


def aws_all(kind, program, version):
    aws = [program, "--endpoint-url", URL, "s3"]
    here, bucket = files("aws"), make(f"{kind}-aws{version}")
    first = run(*aws, "sync", here, f"s3://{bucket}/at", "--no-progress")
    assert first.count("upload:") == 6, first
    assert run(*aws, "sync", here, f"s3://{bucket}/at", "--no-progress") == "", "copied again"
    # Within the service: the large one as a copy in parts.
    assert run(*aws, "sync", f"s3://{bucket}/at", f"s3://{bucket}/to", "--no-progress").count("copy:") == 6
    back = WORK / f"{bucket}-back"
    assert run(*aws, "sync", f"s3://{bucket}/to", back, "--no-progress").count("download:") == 6
    assert run(*aws, "sync", f"s3://{bucket}/to", back, "--no-progress") == "", "copied again"
    same_folder(here, back)
    lines = run(*aws, "ls", "--recursive", f"s3://{bucket}/").splitlines()
    assert sorted(int(line.split()[2]) for line in lines) == sorted(2 * [0, 1, 70_000, 65_536, 5000, 9 * MIB]), lines
    as_due(bucket)
    assert run(*aws, "rb", "--force", f"s3://{bucket}").count("delete:") == 12


def aws_1(kind):
    aws_all(kind, TOOLS / "aws/bin/aws", 1)


def aws_2(kind):
    aws_all(kind, "/usr/bin/aws", 2)


def rclone(kind, provider, *settings):
    here, bucket = files("rclone"), make(f"{kind}-rclone-{provider.lower()}")
    program = [TOOLS / "python/bin/rclone", "--config", "", "-v", "--s3-env-auth", "--s3-provider", provider, *settings]
    # In the second folder also what is larger than 5 MiB is sent in parts; the default is 200 MiB.
    for at, more in (("at", []), ("parts", ["--s3-upload-cutoff", "5M"])):
        rclone, there = [*program, *more], f":s3:{bucket}/{at}"
        first = run(*rclone, "copy", here, there)
        assert first.count(": Copied (new)") == 6 and "ERROR" not in first, first
        second = run(*rclone, "sync", here, there)
        assert "Copied" not in second and "Updated" not in second, second
        assert "6 matching files" in run(*rclone, "check", here, there)
        assert "6 matching files" in run(*rclone, "check", "--download", here, there)
        back = WORK / f"{bucket}-{at}-back"
        run(*rclone, "sync", there, back)
        same_folder(here, back)
    run(*rclone, "copyto", f"{there}/one", f":s3:{bucket}/copied")
    assert s3.get_object(Bucket=bucket, Key="copied")["Body"].read() == b"1"
    as_due(bucket)
    run(*rclone, "purge", f":s3:{bucket}")


# Of these providers rclone expects that the ETag of an upload in parts is made of MD5s of what it sent. That of
# ciphertext is not; this setting says so.
SSE = ("--s3-server-side-encryption", "aws:kms")


def rclone_other(kind):
    rclone(kind, "Other", "--s3-endpoint", URL)


def rclone_ceph(kind):
    rclone(kind, "Ceph", "--s3-endpoint", URL, *(SSE if kind == "sealed" else ()))


def rclone_ceph_unset(kind):
    """What it says without the setting, in order that docs/CLIENTS.md stays true. A plain bucket needs none."""
    here, bucket = files("rclone"), make(f"{kind}-rclone-unset")
    rclone = [TOOLS / "python/bin/rclone", "--config", "", "-v", "--s3-env-auth", "--s3-provider", "Ceph"]
    rclone += ["--s3-endpoint", URL, "--s3-upload-cutoff", "5M"]
    said = run(*rclone, "copy", here, f":s3:{bucket}")
    assert ("multipart upload corrupted: Etag differ" in said) == (kind == "sealed"), said
    as_due(bucket)


def rclone_aws(kind):
    """Over TLS, which it insists on: its checksums come in trailers."""
    with tls() as (url, authority):
        address = ("--s3-endpoint", url, "--s3-region", "us-east-1", "--ca-cert", authority)
        rclone(kind, "AWS", *address, *(SSE if kind == "sealed" else ()))


def s3cmd_all(kind):
    here, bucket = files("s3cmd"), make(f"{kind}-s3cmd")
    # No configuration: the keys come from the environment. Parts of 5 MiB, so that there are some.
    s3cmd = [TOOLS / "python/bin/s3cmd", "-c", "/dev/null", f"--host={HOST}", f"--host-bucket={HOST}", "--no-ssl"]
    # What it says of a library that guesses types, where there is none, is no warning of what is looked for here.
    s3cmd += ["--multipart-chunk-size-mb=5", "--check-md5", "--no-mime-magic"]
    first = run(*s3cmd, "sync", f"{here}/", f"s3://{bucket}/at/")
    assert first.count("upload:") >= 6 and "WARNING" not in first, first
    second = run(*s3cmd, "sync", f"{here}/", f"s3://{bucket}/at/")
    assert "upload:" not in second, second
    back = WORK / f"{bucket}-back"
    back.mkdir()
    said = run(*s3cmd, "sync", f"s3://{bucket}/at/", f"{back}/")
    assert "WARNING" not in said, said
    said = run(*s3cmd, "sync", f"s3://{bucket}/at/", f"{back}/")
    assert "download:" not in said, said
    same_folder(here, back)
    for name, signed in (("large.bin", []), ("one", []), ("large.bin", ["--signature-v2"]), ("one", ["--signature-v2"])):
        said = run(*s3cmd, *signed, "put", here / name, f"s3://{bucket}/put")
        assert "WARNING" not in said, said
        said = run(*s3cmd, *signed, "get", "--force", f"s3://{bucket}/put", "got")
        assert "WARNING" not in said and (WORK / "got").read_bytes() == (here / name).read_bytes(), said
    as_due(bucket)
    run(*s3cmd, "rb", "--recursive", "--force", f"s3://{bucket}")


def restic_all(kind):
    here, bucket = files("restic"), make(f"{kind}-restic")
    restic = ["restic", "--no-cache", "-r", f"s3:{URL}/{bucket}/repository"]
    run(*restic, "init")
    run(*restic, "backup", here)
    (here / "large.bin").write_bytes(some(8 * MIB, 1))
    run(*restic, "backup", here)
    pruned = run(*restic, "forget", "--keep-last", "1", "--prune")
    assert "removed" in pruned or "deleted" in pruned or "to delete:" in pruned, pruned
    assert "no errors were found" in run(*restic, "check", "--read-data")
    back = WORK / f"{bucket}-back"
    run(*restic, "restore", "latest", "--target", back)
    same_folder(here, back / here.relative_to("/"))
    as_due(bucket)


def documented():
    """The versions that the document says were tried are those that are tried here."""
    version = lambda *command: re.search(r"[0-9]+\.[0-9]+\.[0-9]+", run(*command))[0]
    here = {
        "boto3": boto3.__version__,
        "awscli v1": version(TOOLS / "aws/bin/aws", "--version"),
        "awscli v2": version("/usr/bin/aws", "--version"),
        "rclone": version(TOOLS / "python/bin/rclone", "version"),
        "s3cmd": version(TOOLS / "python/bin/s3cmd", "--version"),
        "restic": version("restic", "version"),
    }
    said = dict(re.findall(r"^\| ([a-z0-9 ]+) \| ([0-9.]+) \|", DOCUMENT.read_text(), re.MULTILINE))
    assert said == here, f"{DOCUMENT} says {said}, and here are {here}"


documented()
CLIENTS = [boto3_objects, aws_1, aws_2, aws_large, rclone_other, rclone_ceph]
CLIENTS += [rclone_ceph_unset, rclone_aws, s3cmd_all, restic_all]
failed = []
for story in CLIENTS:
    for kind in KINDS:
        begun = time.monotonic()
        try:
            story(kind)
        except Exception:
            failed.append(f"{story.__name__} {kind}")
            print(f"--- {failed[-1]} ---\n{traceback.format_exc()}")
        print(f"{story.__name__} {kind}: {time.monotonic() - begun:.1f} s", flush=True)
assert not failed, f"these fail: {failed}"

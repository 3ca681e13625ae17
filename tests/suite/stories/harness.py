"""What every story needs: clients of the gateways, the storage's files, the admin API, the command line.

A story is a script that runs against one `sealgate dev`. It uses clients as their users do, with default settings;
`once()` is a client that does not repeat, for refusals that clients would repeat for half a minute.
"""
import base64
import contextlib
import hashlib
import http.client
import io
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib

import boto3
import botocore.exceptions
from botocore.config import Config
from botocore.exceptions import ClientError

READY = json.loads(pathlib.Path(os.environ["SEALGATE_READY_FILE"]).read_text())
GATEWAYS = READY["gateways"]
# Where the storage is a directory; another S3 service has an address and credentials.
STORAGE = READY["storage_dir"] and pathlib.Path(READY["storage_dir"])
UPSTREAM = os.environ.get("SEALGATE_UPSTREAM")
SYSTEM = "sealgate-system"
KIB, MIB = 1 << 10, 1 << 20
PATIENCE = 120


def client(gateway=0, key=None, secret=None, **settings):
    """boto3 as it comes, at one of the gateways."""
    at = GATEWAYS[gateway]
    return boto3.session.Session().client(
        "s3",
        endpoint_url=at["s3"],
        region_name=at["region"],
        aws_access_key_id=key or at["access_key"],
        aws_secret_access_key=secret or at["secret_key"],
        **settings,
    )


def upstream(**settings):
    """boto3 at the storage itself, past every gateway: only where that is an S3 service."""
    return boto3.session.Session().client(
        "s3",
        endpoint_url=UPSTREAM,
        region_name="us-east-1",
        aws_access_key_id=os.environ["SEALGATE_UPSTREAM_ACCESS_KEY"],
        aws_secret_access_key=os.environ["SEALGATE_UPSTREAM_SECRET_KEY"],
        **settings,
    )


def once(gateway=0, **more):
    return client(gateway, config=Config(retries={"total_max_attempts": 1}), **more)


def some(size, seed=0):
    """Bytes that compress to nothing and repeat nowhere, the same at each run."""
    return random.Random(size * 1000 + seed).randbytes(size)


def refused(code, status, call, *words, **arguments):
    """The call must be refused by this code and status, in a message with these words; gives the message."""
    try:
        answer = call(**arguments)
    except ClientError as error:
        said, got = error.response["Error"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert (said["Code"], got) == (code, status), f"{said} {got}, not {code} {status}: {arguments.keys()}"
        message = said.get("Message", "")
        for word in words:
            assert word in message, f"{message!r} does not say {word!r}"
        return message
    raise AssertionError(f"not refused by {code}: {answer}")


def wait_for(what, check):
    """Polls until `check` gives something true."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := check():
            return found
        time.sleep(0.02)
    raise AssertionError(f"gave up waiting: {what}")


def admin(method, path, body=None, gateway=0):
    """The admin API; status and JSON."""
    at = GATEWAYS[gateway]
    request = urllib.request.Request(
        f"{at['console']}/api/v1{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {at['token']}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def sealgate(*args, ready=True):
    """The command line; its completed process."""
    first = ["--ready-file", os.environ["SEALGATE_READY_FILE"]] if ready else []
    return subprocess.run([os.environ["SEALGATE_PROGRAM"], *first, "--json", *map(str, args)], capture_output=True, text=True)


def sealgate_json(*args):
    done = sealgate(*args)
    assert done.returncode == 0, f"sealgate {args}: {done.stderr}"
    return json.loads(done.stdout)


def encrypt(bucket, on=True, gateway=0):
    """The bucket's toggle, by the admin API."""
    status, said = admin("PUT", f"/buckets/{bucket}/encryption", {"encrypt": on}, gateway)
    assert status == 200, said


def stored(bucket, key):
    """The file that holds the stored bytes of an object."""
    return pathlib.Path(sealgate_json("object", "path", bucket, key)["path"])


def record_of(data):
    """The record beside an object's bytes, as JSON: its metadata, its ETag, its size."""
    return json.loads(data.with_name("record.json").read_text())


def write_record(data, record):
    data.with_name("record.json").write_text(json.dumps(record))


def is_sealed(bucket, key):
    """What lies in the storage, not what a gateway says of it."""
    if UPSTREAM:
        lies = upstream().get_object(Bucket=bucket, Key=key)
        begin, metadata = lies["Body"].read(8), lies["Metadata"]
    else:
        data = stored(bucket, key)
        begin, metadata = data.open("rb").read(8), record_of(data).get("metadata", {})
    begins = begin == b"\x89SEALGT\n"
    assert begins == ("gse-v" in metadata), f"{bucket}/{key}: bytes and metadata disagree"
    return begins


def tree():
    """Every file of the storage with its size, but for what changes by itself: locks, group revisions, leases."""
    changing = (".sealgate/locks", f"{SYSTEM}/objects/group", f"{SYSTEM}/objects/lease")
    files = {}
    for folder, folders, names in os.walk(STORAGE):
        relative = os.path.relpath(folder, STORAGE)
        if relative.startswith(changing):
            folders.clear()
            continue
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                files[f"{relative}/{name}"] = os.stat(os.path.join(folder, name)).st_size
    return files


@contextlib.contextmanager
def nothing_left():
    """What is done inside leaves no file behind: no object, no part, no temporary file, no state in the system bucket."""
    # What is on its way at this moment, as the lease that is renewed, will be gone and must not be missed then.
    passing = lambda path: path.startswith(".sealgate/tmp") and not path.endswith("/alive")
    before = {(path, size) for path, size in tree().items() if not passing(path)}
    yield
    end = time.monotonic() + PATIENCE
    while left := sorted(set(tree().items()) ^ before):
        assert time.monotonic() < end, f"left behind: {left}"
        time.sleep(0.02)

"""The tools that people have, with their default settings: what they copied they take for copied.

Arguments: the folder of the installed tools, and a folder to work in.
"""
from harness import *

TOOLS, WORK = map(pathlib.Path, sys.argv[1:])
URL = GATEWAYS[0]["s3"]
HOST = URL.removeprefix("http://")
s3 = client()


def run(*command, **more):
    """Runs a tool; what it said on both channels."""
    environment = os.environ | {"HOME": str(WORK), "AWS_ENDPOINT_URL": URL, "RESTIC_PASSWORD": "secret"} | more
    command = [str(word) for word in command]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=WORK)
    assert done.returncode == 0, f"{command} exits with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def folder(name):
    """Files of many sizes, one of them large enough for a multipart upload, with names that need quoting."""
    made = WORK / name
    files = {
        "empty": b"",
        "one": b"1",
        "with space/and+plus": some(70_000),
        "ü/100%": some(65_536),
        "deep/er/still/file.txt": b"text\n" * 1000,
        "large.bin": some(9 * MIB),
    }
    for path, body in files.items():
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


def sealed_as_due(bucket):
    """Each object of the bucket lies there as its name says."""
    keys = [entry["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket) for entry in page["Contents"]]
    kinds = {is_sealed(bucket, key) for key in keys}
    assert kinds == {bucket.startswith("sealed")}, f"{bucket}: {kinds}"


def make(bucket):
    s3.create_bucket(Bucket=bucket)
    if bucket.startswith("sealed"):
        encrypt(bucket)
    return bucket


def aws_cp():
    """200 MB, by parallel parts, there and back."""
    aws = TOOLS / "aws/bin/aws"
    large = WORK / "large"
    body = some(200_000_000)
    large.write_bytes(body)
    # Encrypted only: plain ones of 100 MiB are the story `objects`.
    bucket = make("sealed-cp")
    run(aws, "s3", "cp", large, f"s3://{bucket}/large", "--no-progress")
    run(aws, "s3", "cp", f"s3://{bucket}/large", "back", "--no-progress")
    assert (WORK / "back").read_bytes() == body, bucket
    head = s3.head_object(Bucket=bucket, Key="large")
    assert head["ContentLength"] == len(body) and "-2" in head["ETag"], "a multipart upload"
    sealed_as_due(bucket)
    run(aws, "s3", "rm", f"s3://{bucket}/large")
    large.unlink()
    (WORK / "back").unlink()


def aws_sync():
    aws, here = TOOLS / "aws/bin/aws", folder("sync")
    for bucket in (make("sealed-sync"), make("plain-sync")):
        first = run(aws, "s3", "sync", here, f"s3://{bucket}/at", "--no-progress")
        assert first.count("upload:") == 6, first
        assert run(aws, "s3", "sync", here, f"s3://{bucket}/at", "--no-progress") == "", "copied again"
        back = WORK / f"{bucket}-back"
        assert run(aws, "s3", "sync", f"s3://{bucket}/at", back, "--no-progress").count("download:") == 6
        assert run(aws, "s3", "sync", f"s3://{bucket}/at", back, "--no-progress") == "", "copied again"
        same_folder(here, back)
        sealed_as_due(bucket)


def rclone_sync():
    here = folder("clone")
    rclone = [TOOLS / "python/bin/rclone", "--s3-provider", "Other", "--s3-env-auth", "--s3-endpoint", URL, "-v"]
    for bucket in (make("sealed-clone"), make("plain-clone")):
        there = f":s3:{bucket}/at"
        first = run(*rclone, "sync", here, there)
        assert first.count(": Copied (new)") == 6, first
        second = run(*rclone, "sync", here, there)
        assert "Copied" not in second and "Updated" not in second, second
        assert "6 matching files" in run(*rclone, "check", here, there)
        assert "6 matching files" in run(*rclone, "check", "--download", here, there)
        back = WORK / f"{bucket}-back"
        run(*rclone, "sync", there, back)
        same_folder(here, back)
        sealed_as_due(bucket)


def s3cmd_sync():
    here = folder("cmd")
    # No configuration: the keys come from the environment.
    s3cmd = [TOOLS / "python/bin/s3cmd", "-c", "/dev/null", f"--host={HOST}", f"--host-bucket={HOST}", "--no-ssl"]
    bucket = make("sealed-cmd")
    first = run(*s3cmd, "sync", f"{here}/", f"s3://{bucket}/at/")
    assert first.count("upload:") >= 6, first
    second = run(*s3cmd, "sync", f"{here}/", f"s3://{bucket}/at/")
    assert "upload:" not in second, second
    back = WORK / f"{bucket}-back"
    back.mkdir()
    run(*s3cmd, "sync", f"s3://{bucket}/at/", f"{back}/")
    same_folder(here, back)
    sealed_as_due(bucket)


def restic_backup():
    here = folder("backup")
    bucket = make("sealed-restic")
    restic = ["restic", "--no-cache", "-r", f"s3:{URL}/{bucket}/repository"]
    run(*restic, "init")
    run(*restic, "backup", here)
    assert "no errors were found" in run(*restic, "check", "--read-data")
    back = WORK / f"{bucket}-back"
    run(*restic, "restore", "latest", "--target", back)
    same_folder(here, back / here.relative_to("/"))
    sealed_as_due(bucket)


for story in (aws_cp, aws_sync, rclone_sync, s3cmd_sync, restic_backup):
    begun = time.monotonic()
    story()
    print(f"{story.__name__}: {time.monotonic() - begun:.1f} s")

"""Two gateways over one storage are one: toggles, parts, what an upload is completed from, and what cannot be read."""
import threading

from harness import *

both = [client(0), client(1)]
quick = [once(0), once(1)]


class Stalls(threading.Thread):
    """Notes when nothing ran on this machine: a thread that sleeps for a moment, and how much longer that took."""

    MOMENT, ORDINARY = 0.01, 0.05

    def __init__(self):
        super().__init__(daemon=True)
        self.seconds, self.since = 0.0, time.monotonic()
        self.start()

    def run(self):
        while True:
            time.sleep(self.MOMENT)
            now = time.monotonic()
            if now - self.since > self.ORDINARY:
                self.seconds += now - self.since - self.MOMENT
            self.since = now

    def total(self):
        """Seconds so far, with those of a stall that is not over for this thread."""
        late = time.monotonic() - self.since
        return self.seconds + (late if late > self.ORDINARY else 0)


stalls = Stalls()


def by_admin(bucket, on, at):
    encrypt(bucket, on, at)


def by_command_line(bucket, on, at):
    sealgate_json("--gateway", GATEWAYS[at]["name"], "bucket", "encrypt", bucket, "on" if on else "off")


def by_s3(bucket, on, at):
    if on:
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
        both[at].put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    else:
        both[at].delete_bucket_encryption(Bucket=bucket)


def holds_in_time(bucket, switch):
    """No object whose PUT begins 2 s after the answer is stored by the former toggle, through either gateway. A time in
    which the machine ran nothing does not count: the gateways stood still in it, too."""
    both[0].create_bucket(Bucket=bucket)
    for at, on in [(0, True), (1, False), (1, True), (0, False)]:
        switch(bucket, on, at)
        answered, stalled = time.monotonic(), stalls.total()
        for through in (at, 1 - at):
            kind = None
            while kind != on:
                begun = time.monotonic() - answered - (stalls.total() - stalled)
                answer = both[through].put_object(Bucket=bucket, Key="probe", Body=b"probe")
                kind = answer.get("ServerSideEncryption") == "aws:kms"
                assert kind == on or begun < 2, f"{switch.__name__} {on} at {at}, through {through}: {begun:.2f} s"
                assert kind == on or through != at, f"{switch.__name__} {on}: not at the gateway that answered"
        assert is_sealed(bucket, "probe") == on


def complete(s3, bucket, key, upload, parts):
    named = {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in parts]}
    return s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload=named)


def part(s3, bucket, key, upload, number, body):
    return s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body)["ETag"]


def parts_through_both(bucket, completer):
    key = f"through-both-{completer}"
    old, new, next_, old_tail, tail = (some(size, seed) for seed, size in enumerate([5 * MIB, 5 * MIB, 5 * MIB + 1, 80, 77]))
    one, two = both
    upload = one.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    old_etag = part(one, bucket, key, upload, 1, old)
    old_tail_etag = part(two, bucket, key, upload, 7, old_tail)
    new_etag = part(two, bucket, key, upload, 1, new)
    next_etag = part(two, bucket, key, upload, 3, next_)
    tail_etag = part(one, bucket, key, upload, 7, tail)
    assert old_etag != new_etag and old_tail_etag != tail_etag
    for s3 in both:
        shown = s3.list_parts(Bucket=bucket, Key=key, UploadId=upload)["Parts"]
        assert [(p["PartNumber"], p["Size"], p["ETag"]) for p in shown] == [
            (1, len(new), new_etag), (3, len(next_), next_etag), (7, len(tail), tail_etag),
        ], shown
    # What was replaced is gone: never the newer bytes under the older ETag.
    refused("InvalidPart", 400, complete, s3=quick[completer], bucket=bucket, key=key, upload=upload,
            parts=[(1, old_etag), (3, next_etag), (7, tail_etag)])
    done = complete(both[completer], bucket, key, upload, [(1, new_etag), (3, next_etag), (7, tail_etag)])
    whole = new + next_ + tail
    for s3 in both:
        got = s3.get_object(Bucket=bucket, Key=key)
        assert (got["ETag"], got["Body"].read() == whole) == (done["ETag"], True), f"{bucket}/{key}"
        across = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes={5 * MIB - 3}-{5 * MIB + 3}")["Body"].read()
        assert across == whole[5 * MIB - 3 : 5 * MIB + 4]
        assert s3.list_objects_v2(Bucket=bucket, Prefix=key)["Contents"][0]["Size"] == len(whole)
    if bucket == "sealed":
        again = complete(both[1 - completer], bucket, key, upload, [(1, new_etag), (3, next_etag), (7, tail_etag)])
        assert again["ETag"] == done["ETag"]


def ended_for_both(bucket):
    """An upload that ended at one gateway has ended at the other, whatever that one remembers."""
    for size in (5 * MIB, 5):
        key = f"ended-{size}"
        upload = both[0].create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        for s3 in both:
            etag = part(s3, bucket, key, upload, 1, some(size))
        both[0].abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
        with nothing_left():
            refused("NoSuchUpload", 404, part, s3=both[1], bucket=bucket, key=key, upload=upload, number=2, body=some(size))
            refused("NoSuchUpload", 404, complete, s3=both[1], bucket=bucket, key=key, upload=upload, parts=[(1, etag)])
            refused("NoSuchUpload", 404, both[1].list_parts, Bucket=bucket, Key=key, UploadId=upload)


def part_files(bucket, upload, number):
    """The storage's files of a part, the newest last."""
    folder = STORAGE / bucket / "uploads" / upload.removeprefix("gse1.")
    return sorted(folder.glob(f"{number:05}-*"))


def held_files(state):
    return sorted((path for path in (state / "held").rglob("data")), key=lambda path: path.stat().st_mtime_ns)


def state_of(known):
    """The folder of the one upload in the system bucket that is not in `known`."""
    (state,) = set((STORAGE / SYSTEM / "objects/mp").iterdir()) - known
    return state


def states():
    folder = STORAGE / SYSTEM / "objects/mp"
    return set(folder.iterdir()) if folder.exists() else set()


def older_part_is_found_out(number, size, words):
    """The storage gives the first of two uploads of a part where the second was named."""
    bucket, key = "sealed", f"older-{number}"
    known = states()
    upload = both[0].create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    state = state_of(known)
    files = lambda: part_files(bucket, upload, number) or held_files(state)
    first = some(5 * MIB, 9)
    etags = [(1, part(both[0], bucket, key, upload, 1, first))] if number > 1 else []
    part(both[0], bucket, key, upload, number, some(size, 1))
    older = files()[-1].read_bytes()
    etags.append((number, part(both[1], bucket, key, upload, number, some(size, 2))))
    newer = files()[-1]
    assert newer.read_bytes() != older
    newer.write_bytes(older)
    try:
        complete(quick[0], bucket, key, upload, etags)
    except ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 500, error
        both[0].abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
        return
    data = stored(bucket, key)
    for s3 in quick:
        refused("InternalError", 500, lambda **a: s3.get_object(**a)["Body"].read(), words, Bucket=bucket, Key=key,
                Range=f"bytes=-{size}")
        body = first if number > 1 else b""
        got = b""
        try:
            for chunk in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(65_536):
                got += chunk
            raise AssertionError("read to the end")
        except (ClientError, botocore.exceptions.HTTPClientError, botocore.exceptions.ResponseStreamingError,
                botocore.exceptions.IncompleteReadError) as error:
            assert len(got) <= len(body) and body.startswith(got), f"{len(got)} bytes that are not the first part's: {error}"
    out = pathlib.Path(os.environ["SEALGATE_READY_FILE"]).with_name("older")
    assert sealgate("object", "decrypt", data, "-o", out, "--rsa-key", READY["rsa_key_file"]).returncode == 1
    assert not out.exists()


def unreadable_state():
    """State in the system bucket that was changed: an error at whoever reads it, and never a plain part."""
    bucket, key = "sealed", "unreadable"
    known = states()
    upload = both[0].create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    state = state_of(known)
    etag = part(both[0], bucket, key, upload, 1, some(5 * MIB))
    other_known = states()
    other = both[0].create_multipart_upload(Bucket=bucket, Key="other")["UploadId"]
    foreign = (state_of(other_known) / "upload@/data").read_bytes()
    data = state / "upload@/data"
    good, record = data.read_bytes(), record_of(data)
    fields = json.loads(good)
    swapped = json.dumps(fields | {"note": json.loads(foreign)["note"]}).encode()
    flipped = bytearray(base64.b64decode(fields["upload"]))
    flipped[len(flipped) // 2] ^= 1
    flipped = json.dumps(fields | {"upload": base64.b64encode(bytes(flipped)).decode()}).encode()
    for what, bad in {
        "cut off": good[:20],
        "empty": b"",
        "no JSON": b"x" * len(good),
        "of another upload": foreign,
        "with the note of another upload": swapped,
        "with one bit changed": flipped,
        "too long": good + b" " * 100_000,
    }.items():
        # Gateway 1 remembers the upload. Gateway 2 has never heard of it.
        data.write_bytes(bad)
        write_record(data, record | {"size": len(bad)})
        # It is not even read to its end.
        status = 503 if what == "too long" else 500
        with nothing_left():
            for number, size in ((2, 5 * MIB), (3, 9)):
                try:
                    part(quick[1], bucket, key, upload, number, some(size))
                    raise AssertionError(f"a part was taken under state that is {what}")
                except ClientError as error:
                    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status, f"{what}: {error}"
            for call in (
                lambda: complete(quick[1], bucket, key, upload, [(1, etag)]),
                lambda: quick[1].list_parts(Bucket=bucket, Key=key, UploadId=upload),
            ):
                try:
                    raise AssertionError(f"{what}: {call()}")
                except ClientError as error:
                    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status, f"{what}: {error}"
    # Gone altogether, or asked for as if it had begun plain.
    data.rename(data.with_name("away"))
    os.rename(data.parent, state / "away")
    with nothing_left():
        for id in (upload, upload.removeprefix("gse1.")):
            refused("NoSuchUpload", 404, part, s3=quick[1], bucket=bucket, key=key, upload=id, number=2, body=some(5 * MIB))
            refused("NoSuchUpload", 404, complete, s3=quick[1], bucket=bucket, key=key, upload=id, parts=[(1, etag)])
    os.rename(state / "away", data.parent)
    data.with_name("away").rename(data)
    data.write_bytes(good)
    write_record(data, record)
    for id in (upload.removeprefix("gse1."),):
        refused("NoSuchUpload", 404, part, s3=quick[0], bucket=bucket, key=key, upload=id, number=2, body=some(5 * MIB))
    part_record(state, bucket, key, upload, etag)
    complete(both[1], bucket, key, upload, [(1, etag)])
    assert both[1].get_object(Bucket=bucket, Key=key)["Body"].read() == some(5 * MIB)
    both[1].abort_multipart_upload(Bucket=bucket, Key="other", UploadId=other)


def part_record(state, bucket, key, upload, etag):
    """One letter of the name that is the part's record."""
    (record,) = [path for path in (state / "part").rglob("record.json")]
    folder = record.parent
    name = json.loads(record.read_text())["key"]
    letter = name[-30]
    changed_name = name[:-30] + ("A" if letter != "A" else "B") + name[-29:]
    where = changed_name.removeprefix(f"mp/{state.name}/part/")
    # As the storage would lay it out: 80 bytes a step.
    steps = [where[at : at + 80] for at in range(0, len(where), 80)]
    moved = (state / "part").joinpath(*(step + "~" for step in steps[:-1]), steps[-1] + "@")
    kept = record.read_text()
    moved.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(moved)
    write_record(moved / "data", json.loads(kept) | {"key": changed_name})
    for s3 in quick:
        try:
            raise AssertionError(complete(s3, bucket, key, upload, [(1, etag)]))
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 500, error
    folder.parent.mkdir(parents=True, exist_ok=True)
    moved.rename(folder)
    record.write_text(kept)


for name, switch in {"by-admin": by_admin, "by-command-line": by_command_line, "by-s3": by_s3}.items():
    holds_in_time(name, switch)
for bucket in ("plain", "sealed"):
    both[0].create_bucket(Bucket=bucket)
encrypt("sealed")
wait_for("the other gateway encrypts", lambda: admin("GET", "/buckets/sealed", gateway=1)[1]["encrypt"])
for bucket in ("plain", "sealed"):
    for completer in (0, 1):
        parts_through_both(bucket, completer)
    ended_for_both(bucket)
older_part_is_found_out(1, 5 * MIB, "part 1")
older_part_is_found_out(2, 5 * MIB, "part 2")
older_part_is_found_out(2, 77, "part 2")
unreadable_state()

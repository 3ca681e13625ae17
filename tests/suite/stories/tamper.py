"""Stored bytes and metadata changed by hand, through the files. What is read afterwards is right or refused.

Arguments: the folder of the installed tools, a folder to work in, and the log of the gateway.
"""
import importlib.machinery

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from forge import forge, mac_of_owner
from harness import *

TOOLS, WORK, LOG = map(pathlib.Path, sys.argv[1:])
KEY = READY["rsa_key_file"]
SEGMENT, PART = 65_552, 60
s3, quick = client(), once()
BROKEN_OFF = (
    botocore.exceptions.ResponseStreamingError,
    botocore.exceptions.IncompleteReadError,
    botocore.exceptions.HTTPClientError,
)


reader = importlib.machinery.SourceFileLoader("reader", os.environ["SEALGATE_READER"]).load_module()


class Stored:
    """One stored object with what it was, so that it can be put back."""

    def __init__(self, bucket, key, body):
        self.bucket, self.key, self.body = bucket, key, body
        self.data = stored(bucket, key)
        self.bytes, self.record = self.data.read_bytes(), record_of(self.data)
        self.metadata = self.record["metadata"]

    def write(self, data=None, metadata=None, size=True):
        """Changes the files, as somebody does who also sets the record right; not the size, if that is said."""
        data = self.bytes if data is None else bytes(data)
        record = dict(self.record, metadata=self.metadata if metadata is None else metadata)
        if size:
            record["size"] = len(data)
        self.data.write_bytes(data)
        write_record(self.data, record)

    def restore(self):
        self.write()

    def flipped(self, at, bit=1):
        data = bytearray(self.bytes)
        data[at] ^= bit
        return data

    def segment(self, index):
        start = PART + index * SEGMENT
        return slice(start, start + SEGMENT)


def put(key, body, bucket="sealed", **more):
    s3.put_object(Bucket=bucket, Key=key, Body=body, **more)
    return Stored(bucket, key, body)


def put_parts(key, *bodies):
    upload = s3.create_multipart_upload(Bucket="sealed", Key=key)["UploadId"]
    parts = []
    for number, body in enumerate(bodies, 1):
        part = s3.upload_part(Bucket="sealed", Key=key, UploadId=upload, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    s3.complete_multipart_upload(Bucket="sealed", Key=key, UploadId=upload, MultipartUpload={"Parts": parts})
    return Stored("sealed", key, b"".join(bodies))


def read(bucket, key, status=500, **more):
    """What a client gets: the bytes up to the end or the error, and the error's message or none. After a body that
    broke off the message is the gateway's in its log: status 200 had left already."""
    said = LOG.stat().st_size
    got = bytearray()
    try:
        for chunk in quick.get_object(Bucket=bucket, Key=key, **more)["Body"].iter_chunks(65_536):
            got += chunk
    except ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status, error
        return bytes(got), error.response["Error"]["Message"]
    except BROKEN_OFF:
        def line():
            with LOG.open() as log:
                log.seek(said)
                return [line for line in log if "read breaks off" in line]
        return bytes(got), wait_for("the log says why the body broke off", line)[-1]
    return bytes(got), None


# A read that shows checksums opens the footer first, and finds there that something is wrong.
BY_THE_FOOTER = ("the footer and the metadata are not of the same object", "does not end in a sealgate footer")


def refused_read(at, words, expected, what, **more):
    got, message = read(at.bucket, at.key, **more)
    assert message is not None, f"{what}: {len(got)} bytes given as if they were right"
    assert expected.startswith(got) and got != expected, f"{what}: {len(got)} bytes, and not the beginning of the right ones"
    assert any(word in message for word in words + BY_THE_FOOTER), f"{what}: {message!r} does not say {words}"


def right_or_refused(at, what, **more):
    first, last = (int(text or 0) for text in more.get("Range", f"bytes=0-{len(at.body) - 1}")[6:].split("-"))
    expected = at.body[first : last + 1]
    got, message = read(at.bucket, at.key, **more)
    assert got == expected if message is None else expected.startswith(got), f"{what} {more}: wrong bytes given as right"


def head_is_right_or_refused(at, what):
    try:
        head = quick.head_object(Bucket=at.bucket, Key=at.key)
    except ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 500, f"{what}: {error}"
        return
    assert head["ContentLength"] == len(at.body), f"{what}: HEAD says {head['ContentLength']} bytes"


def copy_is_refused(at, what):
    with nothing_left():
        try:
            quick.copy_object(Bucket=at.bucket, Key="copied", CopySource={"Bucket": at.bucket, "Key": at.key})
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] in (500, 503), f"{what}: {error}"
            return
        raise AssertionError(f"{what}: was copied")


def files_are_refused(at, what, decrypts=False):
    """The command line and the independent reader, on the file as it lies there."""
    out = WORK / "out"
    ours = sealgate("object", "decrypt", at.data, "-o", out, "--rsa-key", KEY, ready=False)
    found = [("ours", ours.returncode, out.exists() and out.read_bytes(), ours.stderr)]
    out.unlink(missing_ok=True)
    # As from the shell, but for the half second that a new Python takes each time.
    said = io.StringIO()
    sys.argv = ["read_object.py", str(at.data), "-o", str(out), "--rsa-key", KEY]
    with contextlib.redirect_stderr(said):
        status = reader.main()
    found.append(("independent", status, out.exists() and out.read_bytes(), said.getvalue()))
    out.unlink(missing_ok=True)
    for name, status, bytes_, said in found:
        if decrypts:
            assert (status, bytes_ == at.body) == (0, True), f"{what}, {name}: {said}"
        else:
            assert (status, bytes_) == (1, False) and said.strip(), f"{what}, {name}: {status} {said}"


failures = []


@contextlib.contextmanager
def noted():
    """A check that fails does not hide the others."""
    try:
        yield
    except AssertionError as error:
        failures.append(str(error))


def check(at, what, words, files=True, copied=True, touched=(), head=True):
    """`touched`: ranges that reach what was changed. `words`: what one of the errors must say. `head`, `copied`, `files`:
    whether HEAD, a copy, and the readers of bare files are tried as well."""
    words = (words,) if isinstance(words, str) else words
    size = len(at.body)
    with noted():
        refused_read(at, words, at.body, what)
    for text in touched:
        first, last = (int(number) for number in text[6:].split("-"))
        with noted():
            refused_read(at, words, at.body[first : last + 1], f"{what} {text}", Range=text)
    for text in ("bytes=0-0", f"bytes=0-{size - 1}", f"bytes={size - 1}-{size - 1}", f"bytes={size // 2}-{size // 2 + 70_000}"):
        with noted():
            right_or_refused(at, what, Range=text)
    with noted():
        if head:
            head_is_right_or_refused(at, what)
    with noted():
        if copied:
            copy_is_refused(at, what)
    with noted():
        if files:
            files_are_refused(at, what)
    at.restore()


def whole_and_last(at):
    size = len(at.body)
    return [f"bytes=0-{size - 1}", f"bytes={size - 5}-{size - 1}"]


def bits(single, parts):
    """One bit, everywhere that is of another kind."""
    for name, at in {"magic": 0, "version": 9, "suite": 10, "zero": 11, "segment size": 14, "number": 19, "length": 27, "salt": 59}.items():
        single.write(single.flipped(at))
        check(single, f"a bit of the part header's {name}", ("part 1", "sealed part", "version", "suite"), files=at in (0, 59), copied=at == 0)
    for name, at, segment in (
        ("the first ciphertext", 60, 0),
        ("the first tag", PART + SEGMENT - 1, 0),
        ("the middle", PART + SEGMENT + 9, 1),
        ("the tag of the middle", PART + 2 * SEGMENT - 16, 1),
        ("the last", PART + 3 * SEGMENT + 5, 3),
    ):
        single.write(single.flipped(at, 128))
        here = [f"bytes={segment * 65_536 + 3}-{segment * 65_536 + 9}"]
        check(single, f"a bit of {name}", f"segment {segment} of part 1", touched=here, copied=segment == 1)
    end = len(single.bytes)
    body_end = PART + 3 * SEGMENT + (len(single.body) - 3 * 65_536) + 16
    for name, at in {
        "fields": body_end + 3, "header": body_end + 40, "table or checksums": end - 100, "MAC": end - 30, "length": end - 9, "magic": end - 1,
    }.items():
        single.write(single.flipped(at))
        check(single, f"a bit of the footer's {name}", "footer", copied=False)
    first = 5 * MIB + 1
    start_of_two = PART + first + 16 * -(-first // 65_536)
    for name, at, words, here in (
        # Ranges do not read part headers: they go by what the footer lists.
        ("part 2's header", start_of_two + 30, "part 2", []),
        ("part 2's first segment", start_of_two + 99, "segment 0 of part 2", [f"bytes={first - 9}-{first + 9}"]),
    ):
        parts.write(parts.flipped(at))
        check(parts, f"a bit of {name}", words, touched=here, copied=False)
    end = len(parts.bytes)
    for name, at in {"MAC": end - 30, "length": end - 9}.items():
        parts.write(parts.flipped(at))
        check(parts, f"a bit of the footer's {name}, of parts", "footer", copied=False)
    # The padding in front of the footer belongs to the object as well.
    footer = int.from_bytes(parts.bytes[-12:-8], "big")
    parts.write(parts.flipped(end - footer - 1))
    check(parts, "a bit of the padding", "padding", copied=False)


def lengths(single, parts, small):
    """Cut off, drawn out, put together anew: with a record that agrees, and with the old one."""
    two = PART + 2 * SEGMENT
    footer = int.from_bytes(single.bytes[-12:-8], "big")
    shapes = {
        "truncated at a segment": single.bytes[:two],
        "truncated before the footer": single.bytes[:-footer],
        "truncated by a byte": single.bytes[:-1],
        "nothing but its first bytes": single.bytes[:8],
        "empty": b"",
        "a segment taken out": single.bytes[:two] + single.bytes[two + SEGMENT :],
        "a byte appended": single.bytes + b"\0",
        "a segment appended": single.bytes[:-footer] + single.bytes[two : two + SEGMENT] + single.bytes[-footer:],
        "twice the same": single.bytes * 2,
    }
    for what, data in shapes.items():
        single.write(data)
        words = ("bytes", "footer", "truncated", "magic", "segment")
        check(single, what, words, touched=whole_and_last(single) if what == "truncated at a segment" else (), copied=len(data) == two)
    single.write(single.bytes[:two], size=False)
    check(single, "truncated, and the record as it was", "changed from outside", copied=False)
    swapped = bytearray(single.bytes)
    swapped[single.segment(0)], swapped[single.segment(1)] = single.bytes[single.segment(1)], single.bytes[single.segment(0)]
    single.write(swapped)
    check(single, "two segments swapped", ("segment 0 of part 1", "segment 1 of part 1"), touched=["bytes=65536-65540"])
    doubled = bytearray(single.bytes)
    doubled[single.segment(1)] = single.bytes[single.segment(0)]
    single.write(doubled)
    check(single, "one segment twice", "segment 1 of part 1", touched=["bytes=65536-65540"], copied=False)
    small.write(small.bytes[:-1])
    check(small, "truncated by a byte, of one segment", ("bytes", "footer"), copied=False)

    stored_part = lambda size: PART + size + 16 * -(-size // 65_536)
    one, equal = stored_part(5 * MIB + 1), stored_part(5 * MIB)
    first, second, third, rest = (
        parts.bytes[:one], parts.bytes[one : one + equal], parts.bytes[one + equal : one + 2 * equal], parts.bytes[one + 2 * equal :],
    )
    words = ("truncated", "part 2")
    parts.write(first + third + rest)
    # HEAD has one request, and the length of parts follows from the stored one: only GET reads the footer, and tells.
    check(parts, "a part dropped", words, touched=whole_and_last(parts), head=False)
    parts.write(first + second + second + rest)
    check(parts, "a part twice", "part 3", touched=[f"bytes={10 * MIB + 9}-{10 * MIB + 19}"], copied=False)
    parts.write(first + third + second + rest)
    check(parts, "two parts swapped", "part 2", touched=[f"bytes={5 * MIB + 9}-{5 * MIB + 19}"], copied=False)
    parts.write(first + bytes(equal) + third + rest)
    check(parts, "a part of zeros", "part 2", copied=False)


def others(single, twin, parts, small):
    """Pieces of another object, which is authentic at its own place."""
    footer = int.from_bytes(twin.bytes[-12:-8], "big")
    own = int.from_bytes(single.bytes[-12:-8], "big")
    assert footer == own and len(twin.bytes) == len(single.bytes), "the names must be of one length"
    single.write(twin.bytes[:PART] + single.bytes[PART:])
    check(single, "the part header of another", "part 1", copied=False)
    single.write(single.bytes[:-footer] + twin.bytes[-footer:])
    check(single, "the footer of another", "footer", copied=False)
    single.write(twin.bytes)
    check(single, "the bytes of another", "part 1", touched=["bytes=0-9"], files=False)
    single.write(metadata=twin.metadata)
    check(single, "the metadata of another", "sealed for sealed/double", touched=["bytes=0-9"], files=False)
    # Authentic metadata of the same place, but of the object that was there before.
    single.write(twin.bytes, metadata=twin.metadata)
    check(single, "another object as a whole", "sealed/double", touched=["bytes=0-9"], files=False)
    before = put("rewritten", some(len(single.body), 77))
    after = put("rewritten", some(len(single.body), 78))
    after.write(metadata=before.metadata)
    check(after, "the metadata of the object before", "part 1", touched=["bytes=0-9"], files=False)
    after.write(after.bytes[:-footer] + before.bytes[-footer:])
    check(after, "the footer of the object before", "footer", copied=False)
    parts.write(metadata=small.metadata)
    check(parts, "the metadata of another, of parts", "sealed for sealed/small", touched=["bytes=0-9"], files=False)
    parts.write(metadata={"gse-v": "1"})
    got, message = read("sealed", parts.key)
    assert message is None and got == parts.body, "the marker alone is enough, since the footer says all"
    parts.restore()


def moved(single):
    """The files under another key, in the same bucket and in another one, with records that agree."""
    for bucket, key in (("sealed", "other-name"), ("also-sealed", single.key)):
        folder = STORAGE / bucket / "objects" / f"{key}@"
        shutil.copytree(single.data.parent, folder)
        there = Stored(bucket, single.key, single.body) if bucket != "sealed" else None
        write_record(folder / "data", dict(single.record, key=key))
        at = there or Stored(bucket, key, single.body)
        at.restore()
        message = read(bucket, key)[1] or "nothing"
        for name in (f"sealed/{single.key}", f"{bucket}/{key}"):
            assert name in message, f"moved: {message!r} does not name {name}"
        check(at, f"moved to {bucket}/{key}", f"not for {bucket}/{key}", touched=["bytes=0-9"], files=False)
        files_are_refused(at, "moved", decrypts=True)
        shutil.rmtree(folder)


def metadata(single, parts, full):
    """What the metadata says: each entry changed, taken away, added."""
    good = single.metadata
    without = lambda *names: {name: value for name, value in good.items() if name not in names}
    flipped = good["gse-h"][:70] + ("A" if good["gse-h"][70] != "A" else "B") + good["gse-h"][71:]
    for what, bad, words in (
        ("another size", good | {"gse-size": "70000"}, "gse-size"),
        ("another KMS", good | {"gse-kms": "other"}, "gse-kms"),
        ("another place", good | {"gse-at": good["gse-at"][:-3] + "AAA"}, "gse-at"),
        ("a version to come", good | {"gse-v": "2"}, "version 2"),
        ("no version", without("gse-v"), "gse-v"),
        ("a header cut off", good | {"gse-h": good["gse-h"][:100]}, ("gse-h", "header")),
        ("a bit of the header", good | {"gse-h": flipped}, ("header", "key", "authentic")),
        ("an entry of no meaning", good | {"gse-x": "1"}, "unknown"),
        ("the size alone taken away", without("gse-size"), ("gse-size", "gse-h")),
    ):
        single.write(metadata=bad)
        check(single, what, words, touched=["bytes=0-9"], files=False, copied=False)
    plain = some(len(single.bytes), 5)
    single.write(plain)
    check(single, "plain bytes under sealed metadata", ("sealed part", "segment 0"), touched=["bytes=0-9"], copied=False)
    # Stripped: read through the footer, or refused; never as if plain.
    for at in (single, parts, full):
        size = len(at.body)
        at.write(metadata={})
        got, message = read("sealed", at.key)
        assert message is None and got == at.body, f"stripped: {message}"
        for text in (f"bytes=0-{size - 1}", f"bytes={size // 2}-{size // 2 + 9}", f"bytes={size - 3}-{size - 1}"):
            with noted():
                right_or_refused(at, "stripped", Range=text)
        with noted():
            head_is_right_or_refused(at, "stripped")
        entry = s3.list_objects_v2(Bucket="sealed", Prefix=at.key)["Contents"][0]
        assert entry["Size"] == size, f"stripped: the list says {entry['Size']}"
        with noted():
            copy_is_refused(at, "stripped")
        at.restore()
    single.write(single.flipped(0), metadata={})
    check(single, "stripped, and no magic", ("footer", "sealed part", "part 1"), files=False)
    single.write(single.flipped(PART + 5), metadata={})
    check(single, "stripped, and changed", "segment 0 of part 1", touched=["bytes=0-9"], files=False)
    single.write(plain, metadata={})
    check(single, "plain bytes in place of a sealed object", ("footer", "sealed part", "part 1"), touched=["bytes=0-9"], files=False)


def forged(single):
    """By somebody who has the RSA public key, and all that the storage holds."""
    private = load_pem_private_key(pathlib.Path(KEY).read_bytes(), None)
    public, kms = private.public_key(), "dev-rsa"
    known = base64.b64decode(single.metadata["gse-h"] + "==")
    at = put("forged", some(70_001))
    # The forger can make objects: with the owner's MAC this one opens everywhere.
    at.write(*forge("sealed", "forged", at.body, kms, public, mac_of_owner(private)))
    got, message = read("sealed", "forged")
    assert message is None and got == at.body, message
    files_are_refused(at, "made by the owner of the key", decrypts=True)
    other = rsa.generate_private_key(65_537, 2048)
    for what, kms_id, key, mac in (
        ("a random MAC", kms, public, lambda *_: os.urandom(32)),
        ("a MAC from the object beside", kms, public, lambda *_: known[-32:]),
        ("a MAC from the public key", kms, public, lambda fingerprint, covered: hmac_of(fingerprint, covered)),
        ("a MAC of another private key", kms, public, mac_of_owner(other)),
    ):
        at.write(*forge("sealed", "forged", at.body, kms_id, key, mac))
        check(at, f"forged with {what}", "made without the private key", touched=["bytes=0-9"], copied=what == "a random MAC")
    at.write(*forge("sealed", "forged", at.body, kms, other.public_key(), mac_of_owner(other)))
    check(at, "forged under a key of one's own", ("sha256:", "key"), touched=["bytes=0-9"])
    at.write(*forge("sealed", "forged", at.body, "no-such-kms", public, mac_of_owner(private)))
    # Not for ever: a KMS may be added again.
    for more in ({}, {"Range": "bytes=0-9"}):
        got, message = read("sealed", "forged", status=503, **more)
        assert got == b"" and "no-such-kms" in message, message
    at.restore()


def hmac_of(fingerprint, covered):
    import hmac

    return hmac.new(fingerprint, covered, "sha256").digest()


def what_tools_say(single):
    """awscli on a body that breaks off: no success, and no file that looks like one."""
    single.write(single.flipped(PART + 2 * SEGMENT + 9))
    out = WORK / "cp"
    environment = os.environ | {"AWS_ENDPOINT_URL": GATEWAYS[0]["s3"], "AWS_MAX_ATTEMPTS": "1"}
    command = [str(TOOLS / "aws/bin/aws"), "s3", "cp", f"s3://sealed/{single.key}", str(out), "--no-progress"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode != 0 and "download failed" in done.stderr, f"{done.returncode}: {done.stderr}"
    assert not out.exists()
    single.restore()


for bucket in ("sealed", "also-sealed"):
    s3.create_bucket(Bucket=bucket)
    encrypt(bucket)
size = 3 * 65_536 + 100
single, twin, small = put("single", some(size, 1)), put("double", some(size, 2)), put("small", some(100))
parts = put_parts("parts", some(5 * MIB + 1), some(5 * MIB, 1), some(5 * MIB, 2))
full = put("full", some(70_000, 3), Metadata={"note": "n" * 2000})
for story in (
    lambda: bits(single, parts),
    lambda: lengths(single, parts, small),
    lambda: others(single, twin, parts, small),
    lambda: moved(single),
    lambda: metadata(single, parts, full),
    lambda: forged(single),
    lambda: what_tools_say(single),
):
    story()
assert not failures, "\n".join([f"{len(failures)} failures:", *failures])
# Everything was put back, and reads.
for at in (single, twin, small, parts, full):
    assert read("sealed", at.key) == (at.body, None), at.key
    files_are_refused(at, "put back", decrypts=True)

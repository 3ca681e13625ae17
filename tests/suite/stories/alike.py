"""The gateway answers as the storage behind it: random operations go to both at once, and every answer is compared.

Arguments: how many seconds; what to begin with: a seed, the file of a sequence that failed, or `telling` for seeds of
sequences that differ most; `ceph` or `directory`.

A sequence is data: a list of operations, each with all that it needs, so that it can be repeated and made shorter. It
runs in fresh buckets, one at the gateway and one of the same length of name at the storage; what it refers to (an ETag,
an upload, the next page) is each side's own. `BY_DESIGN` is everything that may differ.
"""
import collections
import itertools

from alike_operations import *
from harness import *

SECONDS = float(sys.argv[1])
ALWAYS = 6
BEGIN = sys.argv[2]

# Headers and elements that may differ, with the reason.
BY_DESIGN = {
    "date": "of the answer",
    "last-modified": "of the write, which was made once at each side",
    "lastmodified": "the same in a list",
    "initiated": "the same of an upload",
    "server": "of the connection",
    "connection": "of the connection",
    "transfer-encoding": "of the connection",
    "x-amz-request-id": "each service's own",
    "x-amz-id-2": "each service's own",
    "requestid": "each service's own",
    "hostid": "each service's own",
    "message": "the code is what programs read; Ceph leaves the text empty",
    "resource": "of an error: a path, which some leave out",
    "bucketname": "of an error",
    "uploadid": "each side's own; what it stands for is compared",
    "nextuploadidmarker": "the same",
    "locationconstraint": "of GetBucketLocation: the gateway's own region",
    "location": "of a completed upload: how the gateway is reached is not known to it",
    "x-rgw-bytes-used": "of a bucket: of ciphertext",
    "x-rgw-object-count": "of a bucket: with parts that are not deleted yet",
    "x-rgw-object-type": "of the storage alone, and never shown",
    "x-amz-server-side-encryption": "what encrypts is not the storage",
    "x-amz-server-side-encryption-aws-kms-key-id": "the same",
}
if CEPH:
    BY_DESIGN |= {
        "x-amz-checksum-type": "Ceph 16 keeps no checksums, the gateway does",
        "checksumtype": "the same in a list",
        "checksumalgorithm": "the same in a list",
    }
# Those of a value, whatever it is called.
VALUES = ("x-amz-checksum-", "Checksum") if CEPH else ()

# Codes that the gateway gives where the storage gives another one, of the same status.
CODES = {
    ("NoSuchUpload", "NoSuchKey"): "of an upload that was ended, to Ceph 16",
    ("InvalidPart", "EntityTooSmall"): "where one part is unknown and another one too small",
}

# What a header says by not being there: Ceph repeats what a client asked for, also where it is the default, and counts
# the tags that it has lost.
DEFAULTS = {"x-amz-storage-class": "STANDARD", "x-amz-tagging-count": "0"}

# Ceph has lost the tags that an upload in parts was begun with, and has no document for them, nor for those of a copy that
# it makes. One that the gateway makes has no tags.
LOST = b"<TagSet></TagSet>"

# Headers that the gateway may give where the storage does not.
MORE = {
    "content-type": "Ceph leaves it out of some answers",
    "x-amz-bucket-region": "as S3 says it",
    "content-range": "of a range that is not there: Ceph does not say the size",
}


class Different(Exception):
    pass


class Pairs:
    """What is each side's own, and stands for the same: each of the gateway's has one of the storage's."""

    def __init__(self, sealed):
        self.sealed, self.known = sealed, {}
        # Keys that hold a copy; whether what is compared is one.
        self.copies, self.copied = set(), False

    def etag(self, ours, theirs, part):
        ours, theirs = ours.strip('"'), theirs.strip('"')
        if not self.sealed:
            return ours == theirs
        # The storage's is of ciphertext. What ends in a number is an MD5 of no body; only those of parts have none.
        if theirs == "":
            return True
        if self.known.setdefault(ours, theirs) != theirs:
            return False
        return bool(re.fullmatch("[0-9a-f]{32}" if part else "[0-9a-f]{32}-[0-9]+", ours))


    def summed(self, ours, theirs):
        """Whether a checksum, or its type, is that of parts, and the storage's that of the whole: where the storage copies a
        sealed object of parts, its checksum stays as it is. Nothing is read that a sum of the whole could be made of."""
        of_parts = re.fullmatch("[0-9A-Za-z+/=]+-[0-9]+", ours or "") and not "-" in (theirs or "-")
        return self.sealed and self.copied and bool(of_parts or (ours, theirs) == ("COMPOSITE", "FULL_OBJECT"))


def compare(pairs, side, other, ours, theirs):
    if ours.status != theirs.status:
        raise Different(f"status {ours.status}, not {theirs.status}: {ours.body[:300]} {theirs.body[:300]}")
    told = " ".join(ours.headers.values()).encode() + ours.body
    if other.host.encode() in told or other.bucket.encode() in told:
        raise Different(f"the storage is named: {told[:500]}")
    names = {name for name in ours.headers | theirs.headers if not name.startswith(VALUES)} - set(BY_DESIGN)
    markup = [answer.body.lstrip().startswith(b"<?xml") for answer in (ours, theirs)]
    if any(markup) or ours.status >= 300:
        # Of a body that names one of the sides.
        names.discard("content-length")
    if ours.method not in ("GET", "HEAD"):
        names.discard("accept-ranges")
    if ours.status >= 300 and ours.status != 304:
        # What is there to read, and how, is not said by an error.
        names &= {"content-type", "content-range", "allow", "location"}
    for name in names:
        left, right = ours.headers.get(name), theirs.headers.get(name)
        if name == "etag" and left and right:
            same = pairs.etag(left, right, ours.part)
        elif name.startswith("x-amz-checksum-"):
            same = left == right or pairs.summed(left, right)
        elif name in DEFAULTS:
            same = (left or DEFAULTS[name]) == (right or DEFAULTS[name])
        else:
            # Of a 304 Ceph says nothing else; RFC 9110 wants what a 200 would have.
            same = left == right or ((name in MORE or ours.status == 304) and right is None)
        if not same:
            raise Different(f"header {name}: {left!r}, not {right!r}")
    if not theirs.body and LOST in ours.body:
        return
    if markup[0] != markup[1]:
        raise Different(f"body {ours.body[:300]}, not {theirs.body[:300]}")
    if not markup[0]:
        if ours.body != theirs.body:
            raise Different(f"body of {len(ours.body)} bytes, not of {len(theirs.body)}")
        return
    if b"<LocationConstraint" not in ours.body:
        elements(pairs, side, other, ours.xml(), theirs.xml(), "")


def elements(pairs, side, other, ours, theirs, path):
    name = ours.tag.rpartition("}")[2]
    path = f"{path}/{name}"
    if ours.tag != theirs.tag:
        raise Different(f"element {path}, not {theirs.tag}")
    left, right = (ours.text or "").strip(" \n"), (theirs.text or "").strip(" \n")
    if name == "ETag":
        if not pairs.etag(left, right, "/ListPartsResult/" in path or "/CopyPartResult/" in path):
            raise Different(f"element {path}: {left!r}, not {right!r}")
    elif name == "Code" and (left, right) in CODES:
        return
    elif name.startswith("Checksum") and pairs.summed(left, right):
        return
    elif name != "NextContinuationToken" and left.replace(side.bucket, "B") != right.replace(other.bucket, "B"):
        raise Different(f"element {path}: {left!r}, not {right!r}")
    known = lambda child: child.tag.rpartition("}")[2]
    names = lambda child: {known(child).lower(), f"{path}/{known(child)}".lower()}
    # The algorithm lies sealed in the object, and a list opens none.
    hidden = (*VALUES, "Checksum") if pairs.sealed and name in ("Contents", "Version") else VALUES
    keep = lambda child: not names(child) & set(BY_DESIGN) and not known(child).startswith(hidden)
    # The order of unlike elements says nothing, that of like ones does; but for what was deleted by one request.
    order = lambda child: (known(child), child.findtext("{*}Key") if known(child) in ("Deleted", "Error") else "")
    inner = [sorted(filter(keep, side), key=order) for side in (ours, theirs)]
    tags = [collections.Counter(map(known, children)) for children in inner]
    if tags[0] != tags[1]:
        raise Different(f"within {path}: {dict(tags[0])}, not {dict(tags[1])}")
    for pair in zip(*inner):
        elements(pairs, side, other, *pair, path)


GATEWAY = Side(GATEWAYS[0]["s3"], GATEWAYS[0]["access_key"], GATEWAYS[0]["secret_key"])
DIRECT = Side(UPSTREAM, os.environ["SEALGATE_UPSTREAM_ACCESS_KEY"], os.environ["SEALGATE_UPSTREAM_SECRET_KEY"])
runs = 0


def run(sequence):
    """Runs a sequence in fresh buckets; what differs first, if anything does."""
    global runs
    runs += 1
    for side, name in ((GATEWAY, "g"), (DIRECT, "d")):
        side.begin(f"alike-{name}-{runs:05}")
        side.send("PUT")
    if sequence["sealed"]:
        encrypt(GATEWAY.bucket)
    pairs = Pairs(sequence["sealed"])
    try:
        for index, (name, arguments) in enumerate(sequence["operations"]):
            try:
                ours, theirs = (list(KINDS[name][1](side, **arguments)) for side in (GATEWAY, DIRECT))
                key = arguments.get("key")
                if name == "copy":
                    pairs.copies.add(key)
                elif name in ("put", "parts") and ours[-1].status == 200:
                    pairs.copies.discard(key)
                pairs.copied = key in pairs.copies
                if len(ours) != len(theirs):
                    raise Different(f"{len(ours)} answers, not {len(theirs)}")
                for step, pair in enumerate(zip(ours, theirs)):
                    try:
                        compare(pairs, GATEWAY, DIRECT, *pair)
                    except Different as different:
                        raise Different(f"answer {step}: {different}") from None
            except Different as different:
                return f"operation {index}, {name} {arguments}: {different}"
        return lies_as_due(sequence["sealed"])
    finally:
        clear()


def lies_as_due(sealed):
    """Past the gateway, so that no comparison is of plain objects with plain ones."""
    s3 = upstream()
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=GATEWAY.bucket):
        for entry in page.get("Contents", []):
            if ("gse-v" in s3.head_object(Bucket=GATEWAY.bucket, Key=entry["Key"])["Metadata"]) != sealed:
                return f"{entry['Key']!r} is not stored as is due"


def clear():
    for side in (GATEWAY, DIRECT):
        uploads = side.send("GET", query={"uploads": ""})
        for key, upload in zip(uploads.all("Key"), uploads.all("UploadId")):
            side.send("DELETE", key, {"uploadId": upload})
        for key in [*ODD, "stays"]:
            side.send("DELETE", key)
        side.send("DELETE")


def shorter(sequence, why, until):
    """The same with every operation taken out without which it fails still."""
    index = len(sequence["operations"])
    while index and time.monotonic() < until:
        index -= 1
        operations = sequence["operations"][:index] + sequence["operations"][index + 1 :]
        attempt = sequence | {"operations": operations}
        if found := run(attempt):
            sequence, why, index = attempt, found, min(index, len(operations))
    return sequence, why


def fail(sequence, why, said):
    sequence, why = shorter(sequence, why, time.monotonic() + 60)
    path = pathlib.Path(os.environ.get("TMPDIR", "/tmp")) / f"alike-{os.getpid()}.json"
    path.write_text(json.dumps(sequence))
    lines = "\n".join(f"  {name} {arguments}" for name, arguments in sequence["operations"])
    raise SystemExit(
        f"{said}: the gateway answers otherwise than the storage.\n{why}\nsealed: {sequence['sealed']}\n{lines}\n"
        f"Again: SEALGATE_ALIKE_BEGIN={path}, or the seed."
    )


def main():
    if not BEGIN.isdigit() and BEGIN != "telling":
        sequence = json.loads(pathlib.Path(BEGIN).read_text())
        if why := run(sequence):
            fail(sequence, why, BEGIN)
        return
    end = time.monotonic() + SECONDS
    # Without a time the same ones always, whatever the machine is worth.
    for seed in telling(ALWAYS) if BEGIN == "telling" else itertools.count(int(BEGIN)):
        if time.monotonic() > end if SECONDS else runs == ALWAYS:
            break
        print(f"seed {seed}")
        sequence = draw(random.Random(seed))
        if why := run(sequence):
            fail(sequence, why, f"seed {seed}")
    print(f"{runs} sequences of {LENGTH} operations were answered alike")
    assert runs >= 2, "too slow to have shown anything"


main()

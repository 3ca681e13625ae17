"""Multipart uploads as clients really do them: parts in any order and sent again, errors and what follows them, Complete
sent twice and by several at once, resumed from lists alone.

Arguments: a prefix of the buckets' names, and `rgw` where the storage is one, which knows no `partNumber`.
"""
import threading
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from concurrent.futures import ThreadPoolExecutor

from harness import *

PREFIX = sys.argv[1] if len(sys.argv) > 1 else ""
RGW = "rgw" in sys.argv[2:]
BUCKETS = (f"{PREFIX}plain", f"{PREFIX}sealed")
BOTH = [client(at) for at in range(len(GATEWAYS))]
QUICK = [once(at) for at in range(len(GATEWAYS))]
s3, quick = BOTH[0], QUICK[0]
PART = 5 * MIB
BLOCK = some(PART + 64 * KIB)


def body(number, size=PART):
    return BLOCK[number : number + size]


class Upload:
    """One upload, and what its client knows of it."""

    def __init__(self, bucket, key, **more):
        self.named = {"Bucket": bucket, "Key": key}
        self.named["UploadId"] = s3.create_multipart_upload(**self.named, **more)["UploadId"]
        self.etags, self.bodies = {}, {}

    def part(self, number, data, at=0):
        self.etags[number] = BOTH[at].upload_part(**self.named, PartNumber=number, Body=data)["ETag"]
        self.bodies[number] = data
        return self

    def document(self, numbers=None, **other):
        numbers = sorted(self.etags) if numbers is None else numbers
        return {"Parts": [{"PartNumber": n, "ETag": other.get(f"etag{n}") or self.etags.get(n, '"0"')} for n in numbers]}

    def complete(self, numbers=None, at=0, **more):
        """By a client that repeats nothing."""
        return QUICK[at].complete_multipart_upload(**self.named, MultipartUpload=self.document(numbers), **more)

    def whole(self, numbers=None):
        return b"".join(self.bodies[n] for n in (sorted(self.bodies) if numbers is None else numbers))

    def refused(self, code, status, document):
        refused(code, status, quick.complete_multipart_upload, MultipartUpload=document, **self.named)

    def abort(self):
        s3.abort_multipart_upload(**self.named)


def reads_back(bucket, key, whole):
    got = s3.get_object(Bucket=bucket, Key=key)
    assert got["Body"].read() == whole, f"{bucket}/{key} reads back otherwise"
    head, (entry,) = s3.head_object(Bucket=bucket, Key=key), s3.list_objects_v2(Bucket=bucket, Prefix=key)["Contents"]
    assert {got["ContentLength"], head["ContentLength"], entry["Size"]} == {len(whole)}, f"{bucket}/{key}"
    assert got["ETag"] == head["ETag"] == entry["ETag"], f"{bucket}/{key}"
    assert (got.get("ServerSideEncryption") == "aws:kms") == bucket.endswith("sealed")
    return got["ETag"]


def errors_and_then_all(bucket):
    """Whatever was refused, the upload goes on."""
    key = "errors"
    upload = Upload(bucket, key)
    # RGW 16 loses an object that has gaps and a part that was sent twice, whoever sends it.
    numbers = (3, 1, 2, 4) if RGW else (7, 2, 4, 9)
    for number in numbers[:3]:
        upload.part(number, body(number), number % len(BOTH))
    upload.part(numbers[3], body(9, 1))
    numbers = sorted(numbers)
    again, other = numbers[0], numbers[1]
    old = {f"etag{again}": upload.etags[again]}
    upload.part(again, body(200))
    upload.refused("InvalidPart", 400, upload.document(numbers, **{f"etag{other}": upload.etags[again]}))
    upload.refused("InvalidPart", 400, upload.document(numbers, **old))
    upload.refused("InvalidPart", 400, upload.document([again, 5]))
    # RGW takes parts in any order; see backwards().
    if not RGW:
        upload.refused("InvalidPartOrder", 400, upload.document([other, again, *numbers[2:]]))
        upload.refused("InvalidPartOrder", 400, upload.document([again, *numbers]))
    for document in ({"Parts": []}, {}):
        upload.refused("MalformedXML", 400, document)
    for text in (b"<", b"no XML", b"<CompleteMultipartUpload><Part>", b"<Other><Part/></Other>"):
        assert raw(upload, text) == (400, "MalformedXML"), text
    if not (RGW and bucket == BUCKETS[0]):
        stranger = dict(upload.named, UploadId=upload.named["UploadId"][:-1] + "x")
        refused("NoSuchUpload", 404, quick.complete_multipart_upload, MultipartUpload=upload.document(), **stranger)
        refused("NoSuchUpload", 404, quick.list_parts, **stranger)
        refused("NoSuchUpload", 404, quick.abort_multipart_upload, **stranger)
        refused("NoSuchUpload", 404, quick.upload_part, PartNumber=1, Body=b"x", **stranger)
    refused("NoSuchKey", 404, quick.get_object, Bucket=bucket, Key=key)
    upload.complete()
    reads_back(bucket, key, upload.whole())
    upload = Upload(bucket, "too-small").part(2, body(2)).part(3, body(3, 100)).part(4, body(4))
    upload.refused("EntityTooSmall", 400, upload.document())
    upload.part(3, body(3)).complete()
    reads_back(bucket, "too-small", upload.whole())


def raw(upload, text):
    """Complete with this document, signed by a URL."""
    signer = client(config=Config(signature_version="s3v4"))
    url = signer.generate_presigned_url("complete_multipart_upload", Params=upload.named)
    return answer_to(urllib.request.Request(url, method="POST", data=text))


def answer_to(request):
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        return error.code, error.read().partition(b"<Code>")[2].partition(b"</Code>")[0].decode()


def told(answer):
    """The ETag of an answer to Complete. RGW tells none."""
    return answer.get("ETag", "").strip('"')


def a_subset(bucket):
    """RGW wants every part that it has to be named. What it refuses, the upload outlives."""
    upload = Upload(bucket, "subset")
    for number in (1, 2, 3):
        upload.part(number, body(number))
    upload.part(4, body(4, 77))
    if RGW:
        upload.refused("InvalidPart", 400, upload.document([1, 3]))
        upload.complete()
        reads_back(bucket, "subset", upload.whole())
    else:
        upload.complete([1, 3])
        reads_back(bucket, "subset", upload.whole([1, 3]))


def backwards(bucket):
    """RGW puts parts in order, and takes the last of those that have one number."""
    upload = Upload(bucket, "backwards").part(1, body(1)).part(2, body(2)).part(3, body(3, 77))
    document = upload.document([3, 1, 2])
    document["Parts"].insert(0, {"PartNumber": 1, "ETag": upload.etags[2]})
    if not RGW:
        upload.refused("InvalidPartOrder", 400, document)
        return upload.abort()
    quick.complete_multipart_upload(**upload.named, MultipartUpload=document)
    reads_back(bucket, "backwards", upload.whole())


def same_bytes_again(bucket):
    """A client that repeats a part whose answer it lost may name either ETag: as they are, both have the same."""
    upload = Upload(bucket, "same").part(1, body(1)).part(2, body(2)).part(3, body(3, 77))
    first = dict(upload.etags)
    for number in (1, 3):
        upload.part(number, upload.bodies[number], 1 % len(BOTH))
    assert (first == upload.etags) == (bucket == BUCKETS[0])
    document = upload.document(**{f"etag{number}": first[number] for number in first})
    quick.complete_multipart_upload(**upload.named, MultipartUpload=document)
    reads_back(bucket, "same", upload.whole())


def sent_again(bucket):
    """Another size too: what was large becomes small, and the other way round."""
    upload = Upload(bucket, "again").part(1, body(1, 10)).part(2, body(2))
    upload.part(1, body(11)).part(2, body(22, 10))
    upload.complete()
    reads_back(bucket, "again", upload.whole())
    parts = Upload(bucket, "again").part(1, body(1)).part(1, body(1)).part(1, body(5))
    listed = s3.list_parts(**parts.named)["Parts"]
    assert [(p["PartNumber"], p["ETag"]) for p in listed] == [(1, parts.etags[1])], listed
    parts.complete()
    reads_back(bucket, "again", parts.whole())


def sizes_at_the_edge(bucket):
    """Only one part, of no bytes, of one, of 5 MiB and around it; and part 10,000."""
    for size in (0, 1, PART - 1, PART, PART + 1):
        upload = Upload(bucket, f"only-{size}.").part(1, body(0, size))
        upload.complete()
        reads_back(bucket, f"only-{size}.", upload.whole())
    upload = Upload(bucket, "last-number").part(10_000, body(3)).part(9_999, body(2)).part(1, body(1))
    for wrong in (0, 10_001):
        refused("InvalidArgument", 400, quick.upload_part, PartNumber=wrong, Body=b"x", **upload.named)
    upload.complete()
    reads_back(bucket, "last-number", upload.whole())


def complete_twice(bucket):
    upload = Upload(bucket, "twice").part(1, body(1)).part(2, body(2, 9))
    first = told(upload.complete())
    same = lambda etag: etag.strip('"') == first or (RGW and not first)
    for at in range(len(GATEWAYS)):
        assert same(told(upload.complete(at=at)))
    if not (RGW and bucket == BUCKETS[0]):
        refused("NoSuchUpload", 404, upload.complete, numbers=[1])
    refused("NoSuchUpload", 404, quick.upload_part, PartNumber=1, Body=body(1), **upload.named)
    assert same(reads_back(bucket, "twice", upload.whole()))
    # Also once there is another object.
    s3.put_object(Bucket=bucket, Key="twice", Body=b"other")
    if not (RGW and bucket == BUCKETS[0]):
        assert same(told(upload.complete()))
    reads_back(bucket, "twice", b"other")


def several_at_once(bucket):
    """All that name the same parts are told the same; of others, those whose parts the object does not have are refused."""
    for held in (9, PART):
        upload = Upload(bucket, f"at-once-{held}.").part(1, body(1)).part(2, body(2, held))
        together = threading.Barrier(8)

        def send(index, numbers):
            together.wait(PATIENCE)
            return told(BOTH[index % len(BOTH)].complete_multipart_upload(
                **upload.named, MultipartUpload=upload.document(numbers)))

        with ThreadPoolExecutor(8) as pool:
            etags = set(pool.map(send, range(8), [[1, 2]] * 8)) - {""}
        assert len(etags) == 1, etags
        assert reads_back(bucket, f"at-once-{held}.", upload.whole()).strip('"') in etags
        upload = Upload(bucket, f"others-{held}.").part(1, body(1)).part(2, body(2, held))

        def either(index):
            numbers = [[1], [1, 2]][index % 2]
            try:
                send(index // 2, numbers)
                return tuple(numbers)
            except ClientError as error:
                assert error.response["Error"]["Code"] in (("NoSuchUpload", "InvalidPart", "InternalError") if RGW else ("NoSuchUpload",)), error

        together = threading.Barrier(8)
        with ThreadPoolExecutor(8) as pool:
            won = set(pool.map(either, range(8))) - {None}
        (numbers,) = won
        reads_back(bucket, f"others-{held}.", upload.whole(numbers))


def aborted_under_way(bucket):
    """Abort while a part is on its way: the part, or what is left of it, makes no object."""
    signer = client(config=Config(signature_version="s3v4"))
    for size in (PART, 1000):
        upload = Upload(bucket, "aborted").part(1, body(1))
        url = signer.generate_presigned_url("upload_part", Params=upload.named | {"PartNumber": 2})
        url = urllib.parse.urlsplit(url)
        connection = http.client.HTTPConnection(url.netloc, timeout=PATIENCE)
        connection.putrequest("PUT", f"{url.path}?{url.query}")
        connection.putheader("Content-Length", str(size))
        connection.endheaders()
        connection.send(body(2, size)[: size // 2])
        upload.abort()
        with contextlib.suppress(OSError):
            connection.send(body(2, size)[size // 2 :])
        # The gateway may have refused, and closed, before it had all.
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer = connection.getresponse()
            said = answer.read()
            assert answer.status == 200 or (answer.status, b"NoSuchUpload" in said) == (404, True), f"{answer.status} {said}"
            upload.etags[2] = answer.headers.get("ETag", '"0"')
        connection.close()
        upload.refused("NoSuchUpload", 404, upload.document())
        refused("NoSuchUpload", 404, quick.list_parts, **upload.named)
        assert not [u for u in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) if u["Key"] == "aborted"]
        refused("NoSuchKey", 404, quick.get_object, Bucket=bucket, Key="aborted")


def pages(call, size, given, markers, **arguments):
    """Every page of a list, by what the list itself says of the next one."""
    while True:
        page = call(**arguments, **{size: given})
        yield page
        if not page["IsTruncated"]:
            return
        arguments |= {marker: page[f"Next{marker}"] for marker in markers}


def resumed_from_lists(bucket):
    """Somebody who knows nothing but the bucket finds every upload and its parts, and goes on."""
    keys = ["a", "a", "dir/one", "dir/two", "dir/deep/three", "späť +& ~", "z"]
    uploads = {}
    for index, key in enumerate(keys):
        upload = Upload(bucket, key)
        for number in (1, 3, 4, 10)[: index % 4 + 1]:
            upload.part(number, body(number + 10 * index, PART if number < 10 else 50 + index))
        uploads[upload.named["UploadId"]] = upload
    expected = sorted(keys)
    for most in (1, 2, 3, 1000):
        found = []
        for page in pages(s3.list_multipart_uploads, "MaxUploads", most, ("KeyMarker", "UploadIdMarker"), Bucket=bucket):
            found += [(u["Key"], u["UploadId"]) for u in page.get("Uploads", [])]
            if page["IsTruncated"]:
                assert (page["NextKeyMarker"], page["NextUploadIdMarker"]) == found[-1], page
        assert [key for key, _ in found] == expected, f"{most}: {found}"
        assert {upload for _, upload in found} == set(uploads), f"{most}: {found}"
    listed = s3.list_multipart_uploads(Bucket=bucket, Prefix="dir/")
    assert [u["Key"] for u in listed["Uploads"]] == ["dir/deep/three", "dir/one", "dir/two"]
    # RGW lists no prefixes of uploads.
    if not RGW:
        listed = s3.list_multipart_uploads(Bucket=bucket, Prefix="dir/", Delimiter="/")
        assert [u["Key"] for u in listed["Uploads"]] == ["dir/one", "dir/two"]
        assert [p["Prefix"] for p in listed["CommonPrefixes"]] == ["dir/deep/"]
        assert [p["Prefix"] for p in s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")["CommonPrefixes"]] == ["dir/"]
    for key, upload_id in found:
        known = uploads[upload_id]
        named = {"Bucket": bucket, "Key": key, "UploadId": upload_id}
        for most in (1, 2, 1000):
            parts = []
            for page in pages(BOTH[-1].list_parts, "MaxParts", most, ("PartNumberMarker",), **named):
                parts += page.get("Parts", [])
                assert page["MaxParts"] == most and page["UploadId"] == upload_id
            assert [(p["PartNumber"], p["ETag"], p["Size"]) for p in parts] == [
                (n, known.etags[n], len(known.bodies[n])) for n in sorted(known.etags)], f"{key} {most}: {parts}"
        beyond = s3.list_parts(**named, PartNumberMarker=3).get("Parts", [])
        assert [p["PartNumber"] for p in beyond] == [n for n in sorted(known.etags) if n > 3]
        # It goes on with what is missing, by the ETags of the lists alone.
        if 10 not in known.etags:
            known.part(10, b"the end", at=len(BOTH) - 1)
            parts.append({"PartNumber": 10, "ETag": known.etags[10]})
        named_parts = [{"PartNumber": p["PartNumber"], "ETag": p["ETag"]} for p in parts]
        BOTH[-1].complete_multipart_upload(**named, MultipartUpload={"Parts": named_parts})
        # Of two uploads of one key the object is that of the later Complete.
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == known.whole(), key
    assert not s3.list_multipart_uploads(Bucket=bucket).get("Uploads")
    # RGW takes any number.
    for wrong in () if RGW else ("-1", "x"):
        assert ask(bucket, **{"max-uploads": wrong}) == (400, "InvalidArgument"), wrong


def ask(bucket, **query):
    """A GET of the bucket's uploads with this query, which boto3 would not send."""
    request = AWSRequest("GET", f"{GATEWAYS[0]['s3']}/{bucket}", params={"uploads": "", **query})
    credentials = Credentials(GATEWAYS[0]["access_key"], GATEWAYS[0]["secret_key"])
    S3SigV4QueryAuth(credentials, "s3", GATEWAYS[0]["region"]).add_auth(request)
    return answer_to(urllib.request.Request(request.prepare().url))


def many_parts(bucket):
    """More parts than a page holds, at once through all gateways. They are small: what is completed is the last one."""
    upload, count = Upload(bucket, "many"), int(os.environ.get("SEALGATE_MANY_PARTS", "1100"))
    send = lambda n: BOTH[n % len(BOTH)].upload_part(**upload.named, PartNumber=n, Body=body(n, 20))["ETag"]
    with ThreadPoolExecutor(16) as pool:
        upload.etags = dict(zip(range(1, count + 1), pool.map(send, range(1, count + 1))))
    listed = list(pages(s3.list_parts, "MaxParts", 1000, ("PartNumberMarker",), **upload.named))
    assert [len(page["Parts"]) for page in listed][:1] == [1000]
    assert {p["PartNumber"]: p["ETag"] for page in listed for p in page["Parts"]} == upload.etags
    upload.refused("EntityTooSmall", 400, upload.document())
    if RGW and bucket == BUCKETS[0]:
        return upload.abort()
    upload.complete([count])
    reads_back(bucket, "many", body(count, 20))


def parts_by_number(bucket):
    """GET and HEAD of a part, of an object of parts and of one without."""
    upload = Upload(bucket, "by-number").part(1, body(1)).part(5, body(5)).part(8, body(8, 1000))
    upload.complete()
    start, size = 0, len(upload.whole())
    for place, number in enumerate((1, 5, 8), 1):
        part = upload.bodies[number]
        for read in (s3.get_object, s3.head_object):
            got = read(Bucket=bucket, Key="by-number", PartNumber=place)
            assert got["ResponseMetadata"]["HTTPStatusCode"] == 206 and got["PartsCount"] == 3, got
            assert got["ContentRange"] == f"bytes {start}-{start + len(part) - 1}/{size}", got["ContentRange"]
            assert "Body" not in got or got["Body"].read() == part
        start += len(part)
    for beyond in (4, 5, 10_000):
        refused("InvalidPartNumber", 416, quick.get_object, Bucket=bucket, Key="by-number", PartNumber=beyond)
        refused("416", 416, quick.head_object, Bucket=bucket, Key="by-number", PartNumber=beyond)
    refused("InvalidRequest", 400, quick.get_object, Bucket=bucket, Key="by-number", PartNumber=1, Range="bytes=0-5")
    for wrong in (0, 10_001):
        refused("InvalidArgument", 400, quick.get_object, Bucket=bucket, Key="by-number", PartNumber=wrong)
    etag = s3.put_object(Bucket=bucket, Key="single", Body=b"body")["ETag"]
    got = s3.get_object(Bucket=bucket, Key="single", PartNumber=1)
    assert (got["ETag"], got["Body"].read(), "PartsCount" in got) == (etag, b"body", False), got
    refused("InvalidPartNumber", 416, quick.get_object, Bucket=bucket, Key="single", PartNumber=2)


def announced_size(bucket):
    upload = Upload(bucket, "size").part(1, body(1)).part(2, body(2, 3))
    for wrong in (PART, PART + 4):
        refused("InvalidRequest", 400, upload.complete, MpuObjectSize=wrong)
    upload.complete(MpuObjectSize=PART + 3)
    reads_back(bucket, "size", upload.whole())


for bucket in BUCKETS:
    s3.create_bucket(Bucket=bucket)
encrypt(BUCKETS[1])
wait_for("all gateways encrypt", lambda: all(
    admin("GET", f"/buckets/{BUCKETS[1]}", gateway=at)[1]["encrypt"] for at in range(len(GATEWAYS))))
for bucket in BUCKETS:
    stories = [errors_and_then_all, a_subset, backwards, same_bytes_again, sent_again, sizes_at_the_edge, complete_twice, several_at_once,
               resumed_from_lists, many_parts]
    if bucket == BUCKETS[1] or not RGW:
        # RGW itself says 500 to a Complete of what was aborted, and knows no part of an object.
        stories += [aborted_under_way, parts_by_number, announced_size]
    for story in stories:
        begun = time.monotonic()
        story(bucket)
        print(f"{bucket} {story.__name__}: {time.monotonic() - begun:.1f} s", flush=True)

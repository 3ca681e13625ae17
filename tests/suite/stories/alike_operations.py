"""The operations that `alike.py` sends: how each is drawn, and what it does at one side.

`make_…` draws the arguments of an operation, which are data. The function of its name performs it at a side and yields
each answer.
"""
import re
import xml.etree.ElementTree

from awscrt.checksums import XXHash
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from harness import *

CEPH = sys.argv[3] == "ceph"
LENGTH = 30
ODD = ["a", "a/b", "a/c", "a//b", "b+c d", "ü/é", "100%", "%41", "x\x01y", "&<>\"'", "..", "~!$()*,;=@:", "dir/"]
ODD.append("z/" + "k" * 900)
SIZES = [0, 1, 17, 65_535, 65_536, 65_537, 200_000]
RANGES = ["bytes=0-0", "bytes=1-5", "bytes=5-", "bytes=-3", "bytes=65530-65545", "bytes=300000-", "bytes=0-999999"]
RANGES += ["bytes=-0", "bytes=9-2", "chars=1-2"]
SHOWN = {
    "Content-Type": ["text/plain", "application/x-odd; charset=utf-8"],
    "Cache-Control": ["max-age=60"],
    "Content-Disposition": ['attachment; filename="a b.txt"'],
    "Content-Encoding": ["gzip"],
    "Content-Language": ["de"],
    "x-amz-meta-note": ["a note", "", "  blanks  inside "],
    "x-amz-meta-UPPER": ["Case"],
    "x-amz-tagging": ["a=b&c=d%20e", "only="],
    "x-amz-storage-class": ["STANDARD"],
}
# Of each kind that S3 has: a CRC, digests of which one is the longest, and one that is no digest.
SUMS = {
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "sha256": lambda data: hashlib.sha256(data).digest(),
    "sha512": lambda data: hashlib.sha512(data).digest(),
    "xxhash3": XXHash.compute_xxhash3_64,
}


class Answer:
    def __init__(self, method, part, status, headers, body):
        self.method, self.part, self.status, self.body = method, part, status, body
        self.headers = {name.lower(): value for name, value in headers}

    def xml(self):
        # XML 1.0 has no control characters, and S3 sends them nevertheless: each becomes one of private use.
        private = lambda code, text: chr(0xE000 + code) if code < 32 else text
        referred = lambda found: private(int(found[2], 16 if found[1] else 10), found[0])
        text = re.sub("&#(x?)([0-9A-Fa-f]+);", referred, self.body.decode())
        text = re.sub("[\0-\x08\x0b\x0c\x0e-\x1f]", lambda found: private(ord(found[0]), ""), text)
        return xml.etree.ElementTree.fromstring(text)

    def all(self, name):
        return [element.text or "" for element in self.xml().iter() if element.tag.rpartition("}")[2] == name]


class Side:
    """One of the two: the gateway, or the storage."""

    def __init__(self, url, key, secret):
        self.host, self.credentials = url.removeprefix("http://"), Credentials(key, secret)
        self.connection = http.client.HTTPConnection(self.host, timeout=PATIENCE)

    def begin(self, bucket):
        self.bucket, self.uploads = bucket, []

    def send(self, method, key=None, query=None, headers=None, body=b"", bucket=None):
        path = f"/{bucket or self.bucket}" + ("" if key is None else "/" + urllib.parse.quote(key, safe="/~"))
        text = urllib.parse.urlencode(query or {}, quote_via=urllib.parse.quote, safe="~")
        url = f"http://{self.host}{path}" + (f"?{text}" if text else "")
        request = AWSRequest(method, url, data=body, headers=headers or {})
        S3SigV4Auth(self.credentials, "s3", "us-east-1").add_auth(request)
        fields = dict(request.headers.items()) | {"Content-Length": str(len(body))}
        if method in ("GET", "HEAD", "DELETE"):
            del fields["Content-Length"]
        for attempt in (1, 2):
            try:
                taken = False
                # One that refuses may do so before it has read the body.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self.connection.request(method, url.removeprefix(f"http://{self.host}"), body or None, fields)
                    taken = True
                got = self.connection.getresponse()
                answer = Answer(method, "uploadId" in (query or {}), got.status, got.getheaders(), got.read())
                if not taken:
                    self.connection.close()
                return answer
            except (ConnectionError, http.client.HTTPException):
                # Its answer may be lost with what it did not read; and between two requests it may have closed.
                self.connection.close()
                if attempt == 2:
                    raise

    def etag(self, key):
        return self.send("HEAD", key).headers.get("etag", '"none"')


def headers_of(random, count=3):
    names = random.sample(list(SHOWN), random.randrange(count + 1))
    return {name: random.choice(SHOWN[name]) for name in names}


def md5(body):
    return base64.b64encode(hashlib.md5(body).digest()).decode()


def draw_body(random):
    return [random.choice(SIZES), random.randrange(3)]


def make_put(random):
    condition = random.choice([None] * 6 + ["new", "same", "other"])
    check = random.choice([None, None, "md5", "md5 wrong", *SUMS, "sha512 wrong"])
    drawn = {"key": random.choice(ODD), "body": draw_body(random), "headers": headers_of(random)}
    return drawn | {"if": condition, "check": check}


def put(side, key, body, headers, check, **more):
    headers, body = dict(headers), some(*body)
    match more["if"]:
        case "new":
            headers["If-None-Match"] = "*"
        case "same":
            # Ceph 16 compares without the quotation marks.
            headers["If-Match"] = side.etag(key).strip('"')
        case "other":
            headers["If-Match"] = "0" * 32
    if check:
        name, _, wrong = check.partition(" ")
        checked = body + b"!" if wrong else body
        if name == "md5":
            headers["Content-MD5"] = md5(checked)
        else:
            headers[f"x-amz-checksum-{name}"] = base64.b64encode(SUMS[name](checked)).decode()
    yield side.send("PUT", key, headers=headers, body=body)


def make_get(random):
    conditions = [f"{name} {value}" for name in ("If-Match", "If-None-Match") for value in ("same", "other", "*")]
    since = random.choice([None] * 6 + ["If-Modified-Since", "If-Unmodified-Since"])
    shown = {}
    if random.random() < 0.1:
        shown = {"response-content-type": "image/png", "response-cache-control": "no-cache"}
    return {
        "method": random.choice(["GET", "GET", "HEAD"]),
        "key": random.choice(ODD),
        "range": random.choice([None] * 4 + RANGES),
        "if": random.choice([None] * 5 + conditions),
        "date": since and [since, random.choice(["Mon, 01 Jan 2001 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"])],
        "query": shown,
        "checksum": random.random() < 0.5,
    }


def get(side, method, key, date, query, **more):
    headers = {"x-amz-checksum-mode": "ENABLED"} if more["checksum"] else {}
    if more["range"]:
        headers["Range"] = more["range"]
    if more["if"]:
        name, _, value = more["if"].partition(" ")
        headers[name] = {"same": side.etag(key), "other": f'"{"0" * 32}"', "*": "*"}[value]
    if date:
        headers[date[0]] = date[1]
    yield side.send(method, key, query, headers)


def make_list(random):
    query = {}
    if random.random() < 0.5:
        query["prefix"] = random.choice(["", "a", "a/", "ü", "z", "100%", "nothing"])
    if random.random() < 0.5:
        query["delimiter"] = random.choice(["/", "+", "k"])
    if random.random() < 0.5:
        query["max-keys"] = random.choice(["0", "1", "2", "3", "1000"])
    if random.random() < 0.6:
        query["encoding-type"] = "url"
    version = random.choice([1, 2])
    if random.random() < 0.3:
        query["start-after" if version == 2 else "marker"] = random.choice(ODD[:8])
    return {"version": version, "query": query}


def list_(side, version, query):
    query = dict(query) | ({"list-type": "2"} if version == 2 else {})
    for _ in range(30):
        answer = side.send("GET", query=query)
        yield answer
        if answer.status != 200 or "true" not in answer.all("IsTruncated") or query.get("max-keys") == "0":
            return
        if version == 2:
            query["continuation-token"] = answer.all("NextContinuationToken")[0]
        else:
            # Without a delimiter there may be no NextMarker: then it is the last key.
            after = (answer.all("NextMarker") + answer.all("Key")[-1:])[0]
            query["marker"] = urllib.parse.unquote(after) if "encoding-type" in query else after


def make_copy(random):
    directive = random.choice(["COPY", "COPY", "REPLACE"])
    headers = headers_of(random) if directive == "REPLACE" else {}
    return {"source": random.choice(ODD), "key": random.choice(ODD), "directive": directive, "headers": headers}


def copy(side, source, key, directive, headers):
    if source == key:
        # Of one that is not there two things are wrong, and which is told is up to whoever refuses.
        yield side.send("PUT", key, body=b"itself")
    source = f"/{side.bucket}/" + urllib.parse.quote(source, safe="/~")
    headers = dict(headers) | {"x-amz-copy-source": source, "x-amz-metadata-directive": directive}
    headers.pop("x-amz-tagging", None)
    if CEPH and directive == "REPLACE":
        # It gives a copy with other metadata no tags of its source either, unlike S3.
        headers["x-amz-tagging-directive"] = "REPLACE"
    yield side.send("PUT", key, headers=headers)


def make_delete(random):
    return {"keys": random.sample(ODD, random.choice([1, 1, 1, 2, 3])), "quiet": random.random() < 0.5}


def delete(side, keys, quiet):
    if len(keys) == 1:
        yield side.send("DELETE", keys[0])
        return
    escaped = lambda key: "".join(f"&#{ord(letter)};" if letter in "&<>\"'" else letter for letter in key)
    named = [f"<Object><Key>{escaped(key)}</Key></Object>" for key in keys if "\x01" not in key]
    body = f"<Delete><Quiet>{str(quiet).lower()}</Quiet>{''.join(named)}</Delete>".encode()
    yield side.send("POST", query={"delete": ""}, headers={"Content-MD5": md5(body)}, body=body)


def make_tags(random):
    return {"key": random.choice(ODD), "tags": random.choice([None, None, {}, {"a": "b"}, {"c": "d e", "ü": "é"}])}


def tags(side, key, tags):
    if tags == {}:
        yield side.send("DELETE", key, {"tagging": ""})
    elif tags:
        named = "".join(f"<Tag><Key>{name}</Key><Value>{value}</Value></Tag>" for name, value in tags.items())
        body = f"<Tagging><TagSet>{named}</TagSet></Tagging>".encode()
        headers = {"Content-MD5": md5(body)}
        yield side.send("PUT", key, {"tagging": ""}, headers, body)
    yield side.send("GET", key, {"tagging": ""})


def make_bucket(random):
    reads = ["HEAD", "location", "versioning", "uploads", "policy", "cors"]
    return {"what": random.choice([*reads, "again", "delete", "elsewhere"])}


def bucket(side, what):
    match what:
        case "HEAD":
            yield side.send("HEAD")
        case "again":
            yield side.send("PUT")
        case "delete":
            # Never empty.
            yield side.send("PUT", "stays", body=b"x")
            yield side.send("DELETE")
        case "elsewhere":
            yield side.send("GET", "a", bucket="nowhere-at-all")
            yield side.send("PUT", "a", body=b"x", bucket="nowhere-at-all")
        case _:
            yield side.send("GET", query={what: ""})


def make_parts(random):
    """An upload, from begin to end: which parts of which sizes, what it is completed with."""
    large = 5 * MIB
    sizes = random.choice([[10], [large, 1], [large + 1, large, 70_000], [large - 1, 10], [large, 0], [70_000]])
    numbers = sorted(random.sample(range(1, 12), len(sizes)))
    return {
        "key": random.choice(ODD),
        "sizes": sizes,
        "numbers": numbers,
        "headers": headers_of(random),
        "order": random.choice(["in", "in", "reverse"]),
        "again": random.random() < 0.3,
        "end": random.choice(["all"] * 5 + ["first", "wrong", "backwards", "abort", "nothing"]),
        "copy": random.choice([None] * 3 + ODD[:6]),
        "checksum": random.choice([None, None, *SUMS]),
    }


def parts(side, key, sizes, numbers, headers, order, again, end, **more):
    if more["checksum"]:
        headers = headers | {"x-amz-checksum-algorithm": more["checksum"].upper()}
    answer = side.send("POST", key, {"uploads": ""}, headers)
    yield answer
    if answer.status != 200:
        return
    upload = answer.all("UploadId")[0]
    etags, chosen = {}, list(zip(numbers, sizes))
    if again:
        chosen.insert(0, (numbers[0], sizes[0]))
    for number, size in reversed(chosen) if order == "reverse" else chosen:
        answer = side.send("PUT", key, {"partNumber": str(number), "uploadId": upload}, body=some(size, number))
        yield answer
        etags[number] = answer.headers.get("etag", "")
    if more["copy"]:
        # Never a source with a per cent sign: Ceph 16 decodes it twice, and some end it.
        source = f"/{side.bucket}/" + urllib.parse.quote(more["copy"], safe="/~")
        query = {"partNumber": "20", "uploadId": upload}
        answer = side.send("PUT", key, query, {"x-amz-copy-source": source})
        yield answer
        if answer.status == 200:
            etags[20] = answer.all("ETag")[0]
    yield side.send("GET", key, {"uploadId": upload})
    yield side.send("GET", query={"uploads": ""})
    named = [(number, etags[number]) for number in sorted(etags)]
    match end:
        case "first":
            named = named[:1]
        case "wrong":
            named[0] = (named[0][0], f'"{"0" * 32}"')
        case "backwards":
            named.reverse()
    if end != "abort":
        entry = "<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>"
        entries = "".join(entry.format(*part) for part in named)
        if end == "nothing":
            entries = ""
        body = f"<CompleteMultipartUpload>{entries}</CompleteMultipartUpload>".encode()
        answer = side.send("POST", key, {"uploadId": upload}, body=body)
        yield answer
        if b"<Error" not in answer.body:
            yield side.send("HEAD", key, headers={"x-amz-checksum-mode": "ENABLED"})
            yield side.send("GET", key)
            if not CEPH:
                # Ceph 16 knows neither.
                wanted = {"x-amz-object-attributes": "ETag,Checksum,ObjectParts,ObjectSize"}
                yield side.send("GET", key, {"attributes": ""}, wanted)
                yield side.send("GET", key, {"partNumber": "1"}, {"x-amz-checksum-mode": "ENABLED"})
            return
    yield side.send("DELETE", key, {"uploadId": upload})
    yield side.send("GET", key, {"uploadId": upload})


# Name, how it is drawn, what it does, how often.
KINDS = {
    "put": (make_put, put, 6),
    "get": (make_get, get, 6),
    "list": (make_list, list_, 3),
    "copy": (make_copy, copy, 3),
    "delete": (make_delete, delete, 2),
    "tags": (make_tags, tags, 2),
    "bucket": (make_bucket, bucket, 1),
    "parts": (make_parts, parts, 1),
}


def draw(random):
    """A sequence. Whether it encrypts is a part of it."""
    names, weights = list(KINDS), [kind[2] for kind in KINDS.values()]
    operations = [[name, apart(name, KINDS[name][0](random))] for name in random.choices(names, weights, k=LENGTH)]
    return {"sealed": random.random() < 0.6, "operations": operations}


def traits(sequence):
    """What a sequence has that another one may not have: its operations, and of uploads in parts how they end."""
    for name, arguments in sequence["operations"]:
        yield sequence["sealed"], name
        if name == "parts":
            yield sequence["sealed"], "ends", arguments["end"]
            yield sequence["sealed"], "copies", arguments["copy"] is not None
            yield sequence["sealed"], "checks", arguments["checksum"]


def telling(count):
    """So many seeds, each chosen for what the ones before it leave out."""
    drawn = {seed: set(traits(draw(random.Random(seed)))) for seed in range(1, 500)}
    covered = set()
    for _ in range(count):
        seed = max(drawn, key=lambda seed: len(drawn[seed] - covered))
        covered |= drawn.pop(seed)
        yield seed


def apart(name, arguments):
    """Without what has two answers, and without what Ceph 16 does in a way of its own: the gateway does as S3 says
    where it judges by itself."""
    if name == "put" and arguments["check"] and arguments["check"].endswith(" wrong"):
        # Which of two reasons is told is up to whoever refuses.
        arguments["if"] = None
        if CEPH and arguments["check"] != "md5 wrong":
            # It verifies no checksum.
            arguments["check"] = None
    if CEPH and name == "get":
        if arguments["range"] in ("chars=1-2", "bytes=9-2"):
            # It says of a range that it has passed over which one it is, and refuses one that is to be passed over.
            arguments["range"] = None
        if arguments["range"]:
            # It looks at the range first, and then at conditions.
            arguments |= {"if": None, "date": None}
    if CEPH and name == "parts" and arguments["end"] in ("first", "backwards"):
        # It wants every part that was uploaded, in any order.
        arguments["end"] = "all"
    return arguments

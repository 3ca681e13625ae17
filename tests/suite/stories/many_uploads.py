"""64 uploads at once through two gateways, one of which is killed in the middle of them and stays dead until the end.

Half of them stand still within a body when the kill comes, some send Complete at that very moment, the others run freely.
Of the clients of the dead gateway some go on at the other one, and some give up. The argument is the data folder.
"""
import itertools
import signal
import threading

from harness import *

BUCKETS = ("plain", "sealed")
UPLOADS = 64
PART = 5 * MIB
BLOCK = some(PART + 4096)
CONFIGS = [pathlib.Path(sys.argv[1]) / "run" / f"{at['name']}.toml" for at in GATEWAYS]
# A presigned URL is good for one gateway: the host is signed.
SIGNERS = [client(at, config=Config(signature_version="s3v4")) for at in (0, 1)]
QUICK = [once(at) for at in (0, 1)]

standing = threading.Semaphore(0)
ready_to_complete = threading.Semaphore(0)
killing, dead = threading.Event(), threading.Event()


class Lost(Exception):
    """Nobody answered, or one that may be tried again: 5xx."""


class Upload(threading.Thread):
    def __init__(self, index):
        super().__init__(name=f"upload-{index}")
        bit = lambda n: index >> n & 1
        self.index = index
        self.at, self.bucket, self.parts = bit(0), BUCKETS[bit(1)], bit(2)
        # What happens when the kill comes, and what the client makes of it.
        self.stands, self.gives_up, self.aborts = bit(3), bit(3) and bit(4), bit(5)
        self.key = f"{'parts' if self.parts else 'single'}/{index:02}"
        self.acknowledged, self.failure, self.tries = None, None, 0
        sizes = [PART, PART + index, index + 1] if self.parts else [PART // 4 + index]
        self.bodies = [BLOCK[index * 7 + n : index * 7 + n + size] for n, size in enumerate(sizes)]

    def run(self):
        try:
            self.upload()
        except BaseException as failure:
            self.failure = failure

    def upload(self):
        try:
            self.once_more_elsewhere(self.in_parts if self.parts else self.whole)
        except Lost:
            assert self.gives_up, "gave up, which this client does not"

    def once_more_elsewhere(self, work):
        """As a client that has two addresses. Nothing is ever refused: what was begun at one gateway goes on at the other."""
        while True:
            try:
                return work()
            except Lost:
                self.tries += 1
                assert self.tries < 50, "no gateway answers"
                assert self.at == 0 or self.tries > 1, "the gateway that lives lost a request"
                if self.gives_up:
                    raise
                dead.wait(PATIENCE)
                self.at = 1

    def whole(self):
        self.put("put_object", {}, self.bodies[0], self.stands)
        self.acknowledged = self.bodies[0]

    def in_parts(self):
        named = {"Bucket": self.bucket, "Key": self.key}
        create = lambda: self.call("create_multipart_upload", named)["UploadId"]
        named["UploadId"] = self.once_more_elsewhere(create)
        try:
            parts = []
            # The last one first, and the one in which it stands still at the end.
            for number in (3, 1, 2):
                put = lambda: self.put(
                    "upload_part", {"UploadId": named["UploadId"], "PartNumber": number}, self.bodies[number - 1],
                    self.stands and number == 2,
                )
                parts.append({"PartNumber": number, "ETag": self.once_more_elsewhere(put)})
            parts.sort(key=lambda part: part["PartNumber"])
            if not self.stands:
                ready_to_complete.release()
                assert killing.wait(PATIENCE)
        except Lost:
            if self.aborts:
                QUICK[1].abort_multipart_upload(**named)
            raise
        # From here on nobody gives up: what becomes of a Complete without an answer is known by asking again only.
        self.gives_up = False
        self.once_more_elsewhere(lambda: self.call("complete_multipart_upload", named | {"MultipartUpload": {"Parts": parts}}))
        self.acknowledged = b"".join(self.bodies)

    def call(self, operation, arguments):
        try:
            return getattr(QUICK[self.at], operation)(**arguments)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                raise Lost from error
            raise
        except botocore.exceptions.BotoCoreError as error:
            raise Lost from error

    def put(self, operation, more, body, stands):
        """One PUT by a bare connection, which stands still in its middle the first time; gives the ETag."""
        url = SIGNERS[self.at].generate_presigned_url(operation, Params={"Bucket": self.bucket, "Key": self.key, **more})
        url = urllib.parse.urlsplit(url)
        connection = http.client.HTTPConnection(url.netloc, timeout=PATIENCE)
        try:
            connection.putrequest("PUT", f"{url.path}?{url.query}")
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders()
            half = len(body) // 2
            connection.send(body[:half])
            if stands and self.tries == 0:
                standing.release()
                assert dead.wait(PATIENCE)
            connection.send(body[half:])
            answer = connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Lost from error
        finally:
            connection.close()
        if answer.status >= 500:
            raise Lost(said)
        assert answer.status == 200, f"{self.key}: {answer.status} {said}"
        return answer.headers["ETag"]


def kill():
    """-9, and without its configuration it cannot be started again."""
    CONFIGS[0].rename(CONFIGS[0].with_suffix(".away"))
    killing.set()
    os.kill(GATEWAYS[0]["pid"], signal.SIGKILL)
    wait_for("the gateway is dead", lambda: not answers(0))
    dead.set()


def answers(at):
    with contextlib.suppress(botocore.exceptions.BotoCoreError, ClientError):
        return QUICK[at].list_buckets()


def check(uploads, at):
    """Every acknowledged object reads back right through this gateway, and there is no other."""
    s3 = client(at)
    for bucket in BUCKETS:
        expected = {one.key: one.acknowledged for one in uploads if one.bucket == bucket and one.acknowledged}
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        listed = {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}
        assert listed == {key: len(body) for key, body in expected.items()}, (
            f"{bucket}: lost {expected.keys() - listed.keys()}, strange {listed.keys() - expected.keys()}")
        for key, body in expected.items():
            assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body, f"{bucket}/{key} reads back otherwise"
            # Found without a gateway: the first one is dead.
            file = sealgate_json("object", "path", bucket, key, "--storage", STORAGE)["path"]
            begins = pathlib.Path(file).open("rb").read(8) == b"\x89SEALGT\n"
            assert begins == (bucket == "sealed"), f"{bucket}/{key}"


def left():
    """What there is of uploads: in the system bucket, at the storage, and on its way."""
    paths = (path for path in tree() if path.startswith((f"{SYSTEM}/objects/mp/", ".sealgate/tmp/")) or "/uploads/" in path)
    return sorted(path for path in paths if not path.endswith("/alive"))


def sweep_soon():
    """Both gateways with the settings of an operator who wants nothing kept."""
    CONFIGS[0].with_suffix(".away").rename(CONFIGS[0])
    for config in CONFIGS:
        config.write_text(config.read_text() + '[uploads]\nsweep = "1s"\nrepeatable = "1s"\nunknown = "1s"\nabort_after = "1s"\n')
    os.kill(GATEWAYS[1]["pid"], signal.SIGTERM)
    wait_for("the other gateway is gone", lambda: not answers(1))
    wait_for("both gateways serve", lambda: answers(0) and answers(1))


s3 = client(1)
for bucket in BUCKETS:
    s3.create_bucket(Bucket=bucket)
encrypt("sealed", gateway=1)
wait_for("both gateways encrypt", lambda: all(admin("GET", "/buckets/sealed", gateway=at)[1]["encrypt"] for at in (0, 1)))
uploads = [Upload(index) for index in range(UPLOADS)]
begun = time.monotonic()
for upload in uploads:
    upload.start()
for waits, those in ((standing, [one for one in uploads if one.stands]),
                     (ready_to_complete, [one for one in uploads if one.parts and not one.stands])):
    for _ in those:
        assert waits.acquire(timeout=PATIENCE), [one.failure for one in uploads if one.failure]
kill()
for upload in uploads:
    upload.join(2 * PATIENCE)
    assert not upload.is_alive(), f"{upload.name} hangs"
    if upload.failure:
        raise AssertionError(f"{upload.name} ({upload.bucket}/{upload.key})") from upload.failure
gone = [one for one in uploads if not one.acknowledged]
moved = [one for one in uploads if one.acknowledged and one.tries]
assert len(gone) == 8 and len(moved) >= 8, f"{len(gone)} gave up, {len(moved)} went on elsewhere"
assert not answers(0), "the dead gateway was started again"
check(uploads, 1)
# Uploads that nobody ended are there, or nothing is swept below.
assert left(), "nothing is left to be swept"
assert sum(1 for one in gone if one.parts and not one.aborts) == len(
    list(itertools.chain(*(s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) for bucket in BUCKETS))))
sweep_soon()
wait_for("the sweep leaves nothing", lambda: not left())
for at in (0, 1):
    check(uploads, at)
print(f"{UPLOADS} uploads: {len(gone)} given up, {len(moved)} went on elsewhere, {time.monotonic() - begun:.1f} s")

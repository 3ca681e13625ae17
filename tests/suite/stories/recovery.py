"""Stores objects of each shape; keeps of each the plaintext and the stored file, and nothing else.

Argument: a folder, into which NAME.plain and NAME.stored are written.
"""
from harness import *

KEPT = pathlib.Path(sys.argv[1])
s3 = client()
s3.create_bucket(Bucket="sealed")
encrypt("sealed")


def keep(name, key, body):
    assert is_sealed("sealed", key)
    (KEPT / f"{name}.plain").write_bytes(body)
    shutil.copy(stored("sealed", key), KEPT / f"{name}.stored")


for size in (0, 1, 65_535, 65_536, 65_537, 3 * MIB + 1):
    body = some(size)
    s3.put_object(Bucket="sealed", Key=f"single/{size}", Body=body)
    keep(f"single-{size}", f"single/{size}", body)

# The client's own metadata leaves no room for ours: what is needed lies in the footer alone.
full = some(70_000, 1)
s3.put_object(Bucket="sealed", Key="full", Body=full, Metadata={"note": "n" * 2000})
assert s3.head_object(Bucket="sealed", Key="full")["Metadata"]["note"] == "n" * 2000
keep("full", "full", full)

strange = "ü /%25+a\u0001"
s3.put_object(Bucket="sealed", Key=strange, Body=full)
keep("strange", strange, full)

upload = s3.create_multipart_upload(Bucket="sealed", Key="parts")["UploadId"]
parts, bodies = [], []
for number, size in ((1, 5 * MIB + 1), (4, 6 * MIB), (10_000, 9)):
    bodies.append(some(size, number))
    # Twice, with other bytes at first: only the second salt is listed.
    for body in (some(size, number + 1), bodies[-1]):
        part = s3.upload_part(Bucket="sealed", Key="parts", UploadId=upload, PartNumber=number, Body=body)
    parts.append({"PartNumber": number, "ETag": part["ETag"]})
s3.complete_multipart_upload(Bucket="sealed", Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
keep("parts", "parts", b"".join(bodies))

s3.copy_object(Bucket="sealed", Key="copy", CopySource={"Bucket": "sealed", "Key": "parts"})
keep("copy", "copy", b"".join(bodies))

# A single object whose copy the storage made of two parts.
large = some(6 * MIB, 2)
s3.put_object(Bucket="sealed", Key="large", Body=large)
copied = s3.copy_object(Bucket="sealed", Key="large-copy", CopySource={"Bucket": "sealed", "Key": "large"})
assert copied["CopyObjectResult"]["ETag"].endswith('-2"'), copied
keep("large-copy", "large-copy", large)

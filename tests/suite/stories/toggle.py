"""The bucket's toggle by the three ways: what it changes, and what it must leave as it was."""
from harness import *

s3 = client()


def by_admin(bucket, on):
    encrypt(bucket, on)


def by_command_line(bucket, on):
    assert sealgate_json("bucket", "encrypt", bucket, "on" if on else "off")["encrypt"] == on


def by_s3(bucket, on):
    if on:
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    else:
        s3.delete_bucket_encryption(Bucket=bucket)


def shows(bucket, on):
    """All three ways say the same."""
    assert admin("GET", f"/buckets/{bucket}")[1]["encrypt"] == on
    assert sealgate_json("bucket", "status", bucket)["encrypt"] == on
    if on:
        rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        default = rules[0]["ApplyServerSideEncryptionByDefault"]
        assert len(rules) == 1 and default["SSEAlgorithm"] == "aws:kms" and "dev-rsa" in default["KMSMasterKeyID"], rules
    else:
        absent = "ServerSideEncryptionConfigurationNotFoundError"
        refused(absent, 404, s3.get_bucket_encryption, Bucket=bucket)


class Upload:
    """A multipart upload that goes on over a change of the toggle."""

    def __init__(self, bucket, key, sealed):
        self.bucket, self.key, self.sealed, self.parts, self.body = bucket, key, sealed, [], b""
        self.id = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]

    def part(self, size):
        number, body = len(self.parts) + 1, some(size, len(self.parts))
        self.body += body
        named = {"Bucket": self.bucket, "Key": self.key, "UploadId": self.id, "PartNumber": number}
        self.parts.append({"PartNumber": number, "ETag": s3.upload_part(Body=body, **named)["ETag"]})

    def complete(self):
        parts = {"Parts": self.parts}
        s3.complete_multipart_upload(Bucket=self.bucket, Key=self.key, UploadId=self.id, MultipartUpload=parts)
        check(self.bucket, self.key, self.body, self.sealed)


def check(bucket, key, body, sealed):
    """It reads back, and lies there as it should."""
    assert is_sealed(bucket, key) == sealed, f"{bucket}/{key}: sealed is not {sealed}"
    if not sealed:
        assert stored(bucket, key).read_bytes() == body, f"{bucket}/{key} is not stored byte for byte"
    got = s3.get_object(Bucket=bucket, Key=key)
    assert got["Body"].read() == body, f"{bucket}/{key} reads back as something else"
    assert got.get("ServerSideEncryption") == ("aws:kms" if sealed else None), f"{bucket}/{key}"
    assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == len(body)


def story(bucket, switch):
    body = some(70_000)
    s3.create_bucket(Bucket=bucket)
    shows(bucket, False)
    s3.put_object(Bucket=bucket, Key="before", Body=body)
    begun_plain = Upload(bucket, "begun-plain", sealed=False)
    begun_plain.part(5 * MIB)

    switch(bucket, True)
    shows(bucket, True)
    s3.put_object(Bucket=bucket, Key="during", Body=body)
    begun_plain.part(6 * MIB)
    begun_plain.part(5)
    begun_sealed = Upload(bucket, "begun-sealed", sealed=True)
    begun_sealed.part(5 * MIB)
    begun_sealed.part(5 * MIB + 1)
    switch(bucket, True)
    shows(bucket, True)
    check(bucket, "before", body, sealed=False)
    check(bucket, "during", body, sealed=True)
    begun_plain.complete()

    switch(bucket, False)
    shows(bucket, False)
    s3.put_object(Bucket=bucket, Key="after", Body=body)
    begun_sealed.part(9)
    begun_sealed.complete()
    kinds = {"before": False, "during": True, "after": False}
    for key, sealed in kinds.items():
        check(bucket, key, body, sealed)
    whole = {entry["Key"]: entry["Size"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    expected = {key: len(body) for key in kinds} | {up.key: len(up.body) for up in (begun_plain, begun_sealed)}
    assert whole == expected, whole
    # What is replaced is judged anew; so is what is copied, except that an encrypted source stays encrypted.
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "during"})
    check(bucket, "copy", body, sealed=True)
    s3.put_object(Bucket=bucket, Key="during", Body=body)
    check(bucket, "during", body, sealed=False)


story("by-admin", by_admin)
story("by-command-line", by_command_line)
story("by-s3", by_s3)

refused("NoSuchBucket", 404, by_s3, bucket="nowhere", on=True)
refused("NoSuchBucket", 404, by_s3, bucket="nowhere", on=False)
assert admin("PUT", "/buckets/nowhere/encryption", {"encrypt": True})[0] == 404
assert sealgate("bucket", "encrypt", "nowhere", "on").returncode == 1

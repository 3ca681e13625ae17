#!/usr/bin/env python3
"""Decrypts one stored object of Sealgate, format version 1, written from docs/FORMAT.md alone.

    read_object.py FILE -o OUT (--rsa-key PEM [--passphrase-file F] | --kek-hex HEX)
    read_object.py FILE --inspect

Needs Python 3.9 and the package `cryptography`. Memory is bounded: segments are opened and written one by one.
OUT is complete only if the exit status is 0; otherwise it is removed.
"""
import argparse, hashlib, hmac, json, os, struct, sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PART_MAGIC, FOOTER_MAGIC = b"\x89SEALGT\n", b"\x89SEALFT\n"
CAUSES = {1: "toggle", 2: "policy", 3: "client", 4: "floor", 5: "lookalike"}


class Refused(Exception):
    """The object is not what it should be."""


def need(condition, what):
    if not condition:
        raise Refused(what)


def hkdf(key, salt, info):
    return HKDF(hashes.SHA256(), 32, salt, info).derive(key)


def cbor(data):
    """One deterministically coded item: unsigned integers, byte strings, texts, arrays, maps, booleans."""
    item, rest = cbor_item(data)
    need(not rest, "bytes behind a CBOR item")
    return item


def cbor_item(data):
    need(data, "CBOR ends early")
    major, small, data = data[0] >> 5, data[0] & 31, data[1:]
    if major == 7 and small in (20, 21):
        return small == 21, data
    need(major in (0, 2, 3, 4, 5) and small < 28, "CBOR that the format does not use")
    value = small
    if small >= 24:
        size = 1 << (small - 24)
        need(len(data) >= size, "CBOR ends early")
        value, data = int.from_bytes(data[:size], "big"), data[size:]
        need(value >= (24 if size == 1 else 1 << (4 * size)), "CBOR integer longer than needed")
    if major == 0:
        return value, data
    if major in (2, 3):
        need(len(data) >= value, "CBOR ends early")
        return (data[:value] if major == 2 else data[:value].decode()), data[value:]
    items, last = [], -1
    for _ in range(value):
        if major == 5:
            key, data = cbor_item(data)
            need(type(key) is int and key > last, "CBOR keys are not in order")
            last = key
        item, data = cbor_item(data)
        items.append((key, item) if major == 5 else item)
    return (dict(items) if major == 5 else items), data


def cbor_head(major, value):
    for small, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 24:
            return bytes([major << 5 | value])
        if value < 1 << (8 * size):
            return bytes([major << 5 | small]) + value.to_bytes(size, "big")


class Footer:
    """Section 5: read and checked as far as that goes without a key."""

    def __init__(self, file):
        self.stored = file.seek(0, os.SEEK_END)
        need(self.stored >= 45, "too short for an object")
        file.seek(-12, os.SEEK_END)
        self.end = file.read(12)
        need(self.end[4:] == FOOTER_MAGIC, "no footer: truncated, appended to, or never sealed")
        self.length = struct.unpack(">I", self.end[:4])[0]
        need(45 <= self.length <= min(1072288, self.stored), "the footer's length is out of bounds")
        file.seek(-self.length, os.SEEK_END)
        raw = file.read(self.length)
        self.fields, self.mac = raw[:-44], raw[-44:-12]
        fields = cbor(self.fields)
        need(isinstance(fields, dict) and 0 in fields, "the footer is malformed")
        need(fields[0] == 1, f"format version {fields[0]} is not known")
        need(set(fields) in ({0, 1, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5, 6}), "the footer has other fields")
        header, self.bucket, self.key, table, self.checksums = (fields[n] for n in range(1, 6))
        need(all(isinstance(fields[n], bytes) for n in range(1, 6)), "the footer is malformed")
        need(60 < len(header) <= 8192, "the header's length is out of bounds")
        self.nonce, self.wrapped, self.core_raw = header[:12], header[12:60], header[60:]
        self.core = core = cbor(self.core_raw)
        need(isinstance(core, dict) and 0 in core and 1 in core, "the header is malformed")
        need(core[0] == 1, f"format version {core[0]} is not known")
        need(core[1] == 1, f"algorithm suite {core[1]} is not known")
        need(set(range(11)) <= set(core) <= set(range(13)), "the header has other fields")
        self.segment = core[2]
        need(self.segment in [1 << n for n in range(12, 21)], f"segment size {self.segment} is not allowed")
        need(core[7] in CAUSES, "unknown cause")
        place = b"".join(struct.pack(">H", len(x)) + x for x in (self.bucket, self.key))
        need(hashlib.sha256(place).digest() == core[4], "the place is not the one that the header is bound to")
        need(table and len(table) % 42 == 0, "the part table is malformed")
        self.parts = [struct.unpack(">HQ32s", table[at : at + 42]) for at in range(0, len(table), 42)]
        numbers = [number for number, _, _ in self.parts]
        need(numbers == sorted(set(numbers)) and 1 <= numbers[0] and numbers[-1] <= 10000, "part numbers out of order")
        self.plaintext = sum(size for _, size, _ in self.parts)
        need(self.plaintext <= 1 << 48, "too long")
        self.body = sum(60 + size + 16 * self.count(size) for _, size, _ in self.parts)
        if 12 in core:
            need(not core[10] and self.parts == [(1, *core[12])], "header and part table contradict each other")
            need(self.length <= 12288, "the footer's length is out of bounds")
            expected = self.body + self.length
        else:
            granted = self.plaintext // 5242880 + 1
            need(self.segment == 65536 and len(self.parts) <= granted, "header and part table contradict each other")
            need(core[10] or numbers == [1], "header and part table contradict each other")
            tags = 16 * -(-self.plaintext // 65536)
            expected = self.plaintext + tags + 192 * min(granted, 10000) + 12288
        need(self.stored == expected, f"{self.stored} stored bytes where the layout demands {expected}")
        self.padding = self.stored - self.body - self.length
        need(self.padding >= 0, "the parts do not fit")

    def count(self, size):
        return max(1, -(-size // self.segment))

    def open(self, kek):
        """Sections 4 and 5: gives the data key of an authenticated footer."""
        try:
            dek = AESGCM(kek).decrypt(self.nonce, self.wrapped, b"sealgate data key v1" + self.core_raw)
        except InvalidTag:
            raise Refused("the data key does not open: another KEK, or a changed header") from None
        need(hmac.compare_digest(hkdf(dek, b"", b"sealgate commitment v1"), self.core[3]), "another data key")
        mac = hmac.new(hkdf(dek, b"", b"sealgate footer v1"), self.fields + self.end, "sha256").digest()
        need(hmac.compare_digest(mac, self.mac), "the footer is not authentic")
        return dek


def open_record(record, key):
    """Section 8: the KEK of a record of the built-in KMS."""
    fields = cbor(record)
    need(isinstance(fields, list) and len(fields) == 6, "the KEK record is malformed")
    version, kms, provider, fingerprint, wrapped, mac = fields
    need(version == 1 and provider == "rsa", f"a KEK record of {provider!r}, version {version}")
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    need(hashlib.sha256(der).digest() == fingerprint, f"KMS {kms} needs the RSA key sha256:{fingerprint.hex()}")
    numbers = key.private_numbers()
    primes = [prime.to_bytes((prime.bit_length() + 7) // 8, "big") for prime in sorted((numbers.p, numbers.q))]
    secret = b"".join(struct.pack(">I", len(prime)) + prime for prime in primes)
    covered = b"\x85\x01" + b"".join(
        cbor_head(major, len(item)) + item
        for major, item in ((3, kms.encode()), (3, b"rsa"), (2, fingerprint), (2, wrapped))
    )
    made = hmac.new(hkdf(secret, b"", b"sealgate kek record mac v1" + fingerprint), b"sealgate kek record v1" + covered, "sha256")
    need(hmac.compare_digest(made.digest(), mac), "the KEK record is forged")
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"sealgate kek v1")
    return key.decrypt(wrapped, oaep)


def decrypt(file, footer, dek, out):
    """Section 3: part by part, segment by segment; then the padding."""
    file.seek(0)
    for number, size, salt in footer.parts:
        header = PART_MAGIC + struct.pack(">HBBIIQ", 1, 1, 0, footer.segment, number, size) + salt
        need(file.read(60) == header, f"part {number} is not the one that the footer lists")
        cipher, count = AESGCM(hkdf(dek, salt, b"sealgate part v1" + header)), footer.count(size)
        for index in range(count):
            length = min(footer.segment, size - index * footer.segment)
            nonce = index.to_bytes(11, "big") + bytes([index == count - 1])
            try:
                out.write(cipher.decrypt(nonce, file.read(length + 16), None))
            except InvalidTag:
                raise Refused(f"segment {index} of part {number} is not authentic") from None
    left = footer.padding
    while left:
        zeros = file.read(min(left, 65536))
        need(zeros and not any(zeros), "the padding was changed")
        left -= len(zeros)


def inspect(footer):
    core, policy = footer.core, footer.core.get(11)
    return {"format": core[0], "encrypted": True, "verified": False, "kms_id": core[5], "cause": CAUSES[core[7]],
            "policy": policy and policy[1], "policy_revision": policy and policy[3], "plaintext_bytes": footer.plaintext,
            "stored_bytes": footer.stored, "parts": len(footer.parts), "bucket": footer.bucket.decode(errors="backslashreplace"),
            "key": footer.key.decode(errors="backslashreplace")}


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("file")
    args.add_argument("-o", "--out")
    args.add_argument("--inspect", action="store_true", help="show what needs no key")
    args.add_argument("--rsa-key", metavar="PEM")
    args.add_argument("--passphrase-file")
    args.add_argument("--kek-hex", help="the KEK itself, for test vectors")
    args = args.parse_args()
    try:
        with open(args.file, "rb") as file:
            footer = Footer(file)
            if args.inspect:
                print(json.dumps(inspect(footer), indent=2))
                return 0
            if args.kek_hex:
                kek = bytes.fromhex(args.kek_hex)
            else:
                passphrase = args.passphrase_file and open(args.passphrase_file, "rb").read().rstrip(b"\r\n")
                key = serialization.load_pem_private_key(open(args.rsa_key, "rb").read(), passphrase or None)
                kek = open_record(footer.core[6], key)
            dek = footer.open(kek)
            try:
                with open(args.out, "wb") as out:
                    decrypt(file, footer, dek, out)
            except BaseException:
                os.unlink(args.out)
                raise
    except (Refused, ValueError, TypeError, OSError) as refusal:
        print(f"{args.file}: {refusal}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Makes sealed objects from docs/FORMAT.md alone, as somebody would who writes into the storage by hand."""
import base64
import hashlib
import hmac
import os
import struct
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def head(major, value):
    for small, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 24:
            return bytes([major << 5 | value])
        if value < 1 << (8 * size):
            return bytes([major << 5 | small]) + value.to_bytes(size, "big")


def cbor(item):
    if isinstance(item, bool):
        return b"\xf5" if item else b"\xf4"
    if isinstance(item, int):
        return head(0, item)
    if isinstance(item, bytes):
        return head(2, len(item)) + item
    if isinstance(item, str):
        return head(3, len(item.encode())) + item.encode()
    if isinstance(item, list):
        return head(4, len(item)) + b"".join(map(cbor, item))
    return head(5, len(item)) + b"".join(cbor(key) + cbor(value) for key, value in sorted(item.items()))


def hkdf(key, salt, info):
    return HKDF(hashes.SHA256(), 32, salt, info).derive(key)


def place(bucket, key):
    return b"".join(struct.pack(">H", len(text.encode())) + text.encode() for text in (bucket, key))


def mac_of_owner(private):
    """The MAC that only the owner of the private key can make."""
    numbers = private.private_numbers()
    primes = [prime.to_bytes((prime.bit_length() + 7) // 8, "big") for prime in sorted((numbers.p, numbers.q))]
    secret = b"".join(struct.pack(">I", len(prime)) + prime for prime in primes)
    return lambda fingerprint, covered: hmac.new(
        hkdf(secret, b"", b"sealgate kek record mac v1" + fingerprint), b"sealgate kek record v1" + covered, "sha256"
    ).digest()


def forge(bucket, key, plaintext, kms, public, mac):
    """Stored bytes and metadata. `mac(fingerprint, covered)` gives the MAC of the KEK record."""
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    fingerprint, kek, dek, salt = hashlib.sha256(der).digest(), os.urandom(32), os.urandom(32), os.urandom(32)
    wrapped = public.encrypt(kek, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"sealgate kek v1"))
    record = [1, kms, "rsa", fingerprint, wrapped]
    record.append(mac(fingerprint, cbor(record)))
    at, length = place(bucket, key), len(plaintext)
    core = cbor({
        0: 1, 1: 1, 2: 65_536, 3: hkdf(dek, b"", b"sealgate commitment v1"), 4: hashlib.sha256(at).digest(), 5: kms,
        6: cbor(record), 7: 1, 8: int(time.time() * 1000), 9: "forged", 10: False, 12: [length, salt],
    })
    nonce = os.urandom(12)
    header = nonce + AESGCM(kek).encrypt(nonce, dek, b"sealgate data key v1" + core) + core
    part = b"\x89SEALGT\n" + struct.pack(">HBBIIQ", 1, 1, 0, 65_536, 1, length) + salt
    cipher, count = AESGCM(hkdf(dek, salt, b"sealgate part v1" + part)), max(1, -(-length // 65_536))
    body = part
    for index in range(count):
        segment = plaintext[index * 65_536 : (index + 1) * 65_536]
        body += cipher.encrypt(index.to_bytes(11, "big") + bytes([index == count - 1]), segment, None)
    block_salt = os.urandom(32)
    block = AESGCM(hkdf(dek, block_salt, b"sealgate checksums v1")).encrypt(bytes(12), b"\0\0", b"")
    fields = cbor({
        0: 1, 1: header, 2: bucket.encode(), 3: key.encode(), 4: struct.pack(">HQ32s", 1, length, salt),
        5: block_salt + block,
    })
    end = struct.pack(">I", len(fields) + 44) + b"\x89SEALFT\n"
    footer = fields + hmac.new(hkdf(dek, b"", b"sealgate footer v1"), fields + end, "sha256").digest() + end
    coded = lambda data: base64.b64encode(data).decode().rstrip("=")
    metadata = {"gse-v": "1", "gse-kms": kms, "gse-size": str(length), "gse-h": coded(header), "gse-at": coded(at)}
    return body + footer, metadata

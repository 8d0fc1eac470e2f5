#!/usr/bin/env python3
"""Independent witness of the symmetric ciphertext frame and of the keyed HMAC.

    python3 frame.py            opens a frame: JSON object on standard input, JSON object on standard output
    python3 frame.py --hmac     computes `hmacoutput` of a key version the same way
    python3 frame.py --selftest checks the primitives against published vectors

Needs the standard library and the `openssl` command. Keys are handed to `openssl` as arguments: for test keys only.
"""

import base64
import binascii
import hashlib
import hmac
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

BLOCK = 16
SALT_LEN = 16
NONCE_LEN = 12
COMMITMENT_LEN = 32
TAG_LEN = 16
FRAME_VERSION = b"\x01"
HEADER_PREFIX = b"0064"
HEADER_TEXT_LEN = 0x64
HMAC_BLOCK = 64  # SHA-256 and SM3 alike

Hash = Callable[[bytes], bytes]


class FrameError(Exception):
    """An input that is malformed or fails a check."""


def openssl(args: list[str], data: bytes) -> bytes:
    """Pipes `data` through one `openssl` command."""
    done = subprocess.run(["openssl", *args], input=data, capture_output=True, check=False)
    if done.returncode != 0:
        raise FrameError(f"openssl {args[0]} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def sha256(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


def sm3(data: bytes) -> bytes:
    """SM3, by `hashlib` where it has it, else by `openssl dgst`."""
    try:
        return hashlib.new("sm3", data).digest()
    except ValueError:
        return openssl(["dgst", "-sm3", "-binary"], data)


@dataclass(frozen=True)
class Suite:
    """What an algorithm's wire name stands for."""

    name: str
    cipher: str
    key_len: int
    hash: Hash


AES_256 = Suite("AES_256", "aes-256", 32, sha256)
CTYUN_SM4 = Suite("Ctyun_SM4", "sm4", 16, sm3)
SUITES = {suite.name: suite for suite in (AES_256, CTYUN_SM4)}


def hmac_digest(hash_: Hash, key: bytes, message: bytes) -> bytes:
    """HMAC (RFC 2104) over a hash with 64-byte blocks."""
    if len(key) > HMAC_BLOCK:
        key = hash_(key)
    key = key.ljust(HMAC_BLOCK, b"\0")
    inner = hash_(bytes(b ^ 0x36 for b in key) + message)
    return hash_(bytes(b ^ 0x5C for b in key) + inner)


def hkdf(hash_: Hash, ikm: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """HKDF (RFC 5869), extract then expand. An empty salt equals no salt."""
    prk = hmac_digest(hash_, salt, ikm)
    okm = block = b""
    counter = 1
    while len(okm) < length:
        block = hmac_digest(hash_, prk, block + info + bytes([counter]))
        okm += block
        counter += 1
    return okm[:length]


def lp(part: bytes) -> bytes:
    """Prefixes `part` with its length, four bytes big-endian."""
    return len(part).to_bytes(4, "big") + part


def ghash(h: bytes, associated: bytes, ciphertext: bytes) -> bytes:
    """GHASH (SP 800-38D) over the padded associated data, the padded ciphertext and their bit lengths."""

    def padded(data: bytes) -> bytes:
        return data + bytes(-len(data) % BLOCK)

    h_int = int.from_bytes(h, "big")
    lengths = (8 * len(associated)).to_bytes(8, "big") + (8 * len(ciphertext)).to_bytes(8, "big")
    data = padded(associated) + padded(ciphertext) + lengths
    y = 0
    for at in range(0, len(data), BLOCK):
        x = y ^ int.from_bytes(data[at : at + BLOCK], "big")
        y, v = 0, h_int
        for bit in range(127, -1, -1):
            if x >> bit & 1:
                y ^= v
            v = v >> 1 ^ (0xE1 << 120 if v & 1 else 0)
    return y.to_bytes(BLOCK, "big")


def gcm_open(cipher: str, key: bytes, nonce: bytes, associated: bytes, ciphertext: bytes, tag: bytes) -> bytes:
    """GCM decryption with a 12-byte nonce; the tag is checked before anything is decrypted."""

    def block_encrypt(block: bytes) -> bytes:
        return openssl(["enc", f"-{cipher}-ecb", "-K", key.hex(), "-nopad"], block)

    mask = block_encrypt(nonce + (1).to_bytes(4, "big"))
    digest = ghash(block_encrypt(bytes(BLOCK)), associated, ciphertext)
    if not hmac.compare_digest(bytes(a ^ b for a, b in zip(mask, digest, strict=True)), tag):
        raise FrameError("tag mismatch")
    if not ciphertext:
        return b""
    counter = nonce + (2).to_bytes(4, "big")
    return openssl(["enc", f"-{cipher}-ctr", "-K", key.hex(), "-iv", counter.hex(), "-nopad"], ciphertext)


def b64decode(text: str | bytes, what: str) -> bytes:
    """Strict standard Base64: one line, padded, canonical."""
    try:
        raw = text.encode("ascii") if isinstance(text, str) else text
        decoded = base64.b64decode(raw, validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise FrameError(f"{what} is not Base64") from error
    if base64.b64encode(decoded) != raw:
        raise FrameError(f"{what} is not canonical Base64")
    return decoded


@dataclass(frozen=True)
class Frame:
    """The parts of a ciphertext blob."""

    header: bytes
    cmk_uuid: str
    key_version_id: str
    salt: bytes
    commitment: bytes
    ciphertext: bytes
    tag: bytes


def parse_frame(blob: bytes) -> Frame:
    """Splits the decoded blob into its parts."""
    header_len = len(HEADER_PREFIX) + HEADER_TEXT_LEN
    header, payload = blob[:header_len], blob[header_len:]
    if len(header) != header_len or not header.startswith(HEADER_PREFIX):
        raise FrameError("bad header length")
    if len(payload) < 1 + SALT_LEN + COMMITMENT_LEN + TAG_LEN:
        raise FrameError("payload too short")
    if payload[:1] != FRAME_VERSION:
        raise FrameError("unknown frame version")
    try:
        names = b64decode(header[len(HEADER_PREFIX) :], "header").decode("ascii").split("&")
    except UnicodeDecodeError as error:
        raise FrameError("header is not ASCII") from error
    if len(names) != 2 or not all(names):
        raise FrameError("header does not name a key and a version")
    salt_end = 1 + SALT_LEN
    commitment_end = salt_end + COMMITMENT_LEN
    return Frame(
        header=header,
        cmk_uuid=names[0],
        key_version_id=names[1],
        salt=payload[1:salt_end],
        commitment=payload[salt_end:commitment_end],
        ciphertext=payload[commitment_end:-TAG_LEN],
        tag=payload[-TAG_LEN:],
    )


def derive(
    suite: Suite, key: bytes, salt: bytes, header: bytes, account: str, context: Mapping[str, str]
) -> tuple[bytes, bytes, bytes]:
    """Derives (message key, nonce, commitment) of one frame."""
    bound = lp(FRAME_VERSION) + lp(suite.name.encode("ascii")) + lp(header) + lp(account.encode("ascii"))
    for name, value in sorted((n.encode(), v.encode()) for n, v in context.items()):
        bound += lp(name) + lp(value)
    info = b"yaoku/frame" + suite.hash(bound)
    okm = hkdf(suite.hash, key, salt, info, suite.key_len + NONCE_LEN + COMMITMENT_LEN)
    nonce_end = suite.key_len + NONCE_LEN
    return okm[: suite.key_len], okm[suite.key_len : nonce_end], okm[nonce_end:]


def open_frame(
    algorithm: str, key: bytes, account: str, context: Mapping[str, str], blob: bytes
) -> tuple[str, str, bytes]:
    """Opens a decoded blob; returns (cmkUuid, keyVersionId, plaintext) or raises FrameError."""
    if algorithm not in SUITES:
        raise FrameError(f"unknown algorithm {algorithm!r}")
    suite = SUITES[algorithm]
    frame = parse_frame(blob)
    message_key, nonce, commitment = derive(suite, key, frame.salt, frame.header, account, context)
    if not hmac.compare_digest(commitment, frame.commitment):
        raise FrameError("commitment mismatch")
    plaintext = gcm_open(suite.cipher, message_key, nonce, frame.header, frame.ciphertext, frame.tag)
    return frame.cmk_uuid, frame.key_version_id, plaintext


def key_hmac(key: bytes, cmk_uuid: str, key_version_id: str, message: str) -> bytes:
    """HMAC-SM3 of a text under the MAC key derived from a key version."""
    info = lp(b"kms-hmac") + lp(cmk_uuid.encode()) + lp(key_version_id.encode())
    return hmac_digest(sm3, hkdf(sm3, key, b"", info, 32), message.encode())


def field(request: Mapping[str, Any], name: str) -> str:
    """A mandatory string of the request."""
    value = request.get(name)
    if not isinstance(value, str):
        raise FrameError(f"{name} must be a string")
    return value


def key_field(request: Mapping[str, Any]) -> bytes:
    """The key version bytes of the request."""
    try:
        key = bytes.fromhex(field(request, "key"))
    except ValueError as error:
        raise FrameError("key is not hex") from error
    if not key:
        raise FrameError("key is empty")
    return key


def answer_decrypt(request: Mapping[str, Any]) -> dict[str, str]:
    """Answers the default mode."""
    context = request.get("context")
    context = {} if context is None else context
    if not isinstance(context, dict) or not all(isinstance(value, str) for value in context.values()):
        raise FrameError("context must be an object of strings")
    account = field(request, "account")
    if not account.isascii():
        raise FrameError("account must be ASCII")
    blob = b64decode(field(request, "ciphertextBlob"), "ciphertextBlob")
    cmk_uuid, key_version_id, plaintext = open_frame(
        field(request, "algorithm"), key_field(request), account, context, blob
    )
    text = base64.b64encode(plaintext).decode("ascii")
    return {"cmkUuid": cmk_uuid, "keyVersionId": key_version_id, "plaintext": text}


def answer_hmac(request: Mapping[str, Any]) -> dict[str, str]:
    """Answers the --hmac mode."""
    names = (field(request, "cmkUuid"), field(request, "keyVersionId"), field(request, "input"))
    return {"hmacoutput": key_hmac(key_field(request), *names).hex()}


def selftest() -> bool:
    """Checks every primitive against a published vector and prints one line each."""
    x = bytes.fromhex
    aes_gcm = (
        "aes-256",
        x("feffe9928665731c6d6a8f9467308308" * 2),
        x("cafebabefacedbaddecaf888"),
        x("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
        x(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
            "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
        ),
        x("76fc6ece0f4e1768cddf8853bb2d551b"),
    )
    aes_plain = x(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    sm4_gcm = (
        "sm4",
        x("0123456789abcdeffedcba9876543210"),
        x("00001234567800000000abcd"),
        x("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
        x(
            "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
            "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
        ),
        x("83de3541e4c2b58177e065a9bf7b62ec"),
    )
    sm4_plain = b"".join(x(digit * 16) for digit in "abcdefea")

    def refuses_wrong_tag() -> bool:
        try:
            gcm_open(*aes_gcm[:-1], bytes(TAG_LEN))
        except FrameError:
            return True
        return False

    okm = x("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")
    mac_key = x("85a7cbaae825bb82c9b6f6c5c2af5ac03d1f6daa63d2a93c189948ec41b9ded9")
    mac = x("108e4785c23e3084bc62a1f7e6812931daa97168b4fc20a0357c53e5bcbf2513")
    checks = {
        "AES-256-GCM, NIST test case 16": gcm_open(*aes_gcm) == aes_plain,
        "SM4-GCM, RFC 8998 A.1": gcm_open(*sm4_gcm) == sm4_plain,
        "GCM refuses a wrong tag": refuses_wrong_tag(),
        "HKDF-SHA-256, RFC 5869 case 1": hkdf(sha256, b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)), 42)
        == okm,
        "HMAC-SM3, Wycheproof test 3": hmac_digest(sm3, mac_key, x("a59b")) == mac,
    }
    for name, passed in checks.items():
        print("ok  " if passed else "FAIL", name)
    return all(checks.values())


def main(args: list[str]) -> int:
    """Runs one mode and returns the exit status."""
    modes = {(): answer_decrypt, ("--hmac",): answer_hmac}
    try:
        if args == ["--selftest"]:
            return 0 if selftest() else 1
        if tuple(args) not in modes:
            print(__doc__, file=sys.stderr)
            return 2
        request = json.loads(sys.stdin.buffer.read())
        if not isinstance(request, dict):
            raise FrameError("input must be a JSON object")
        print(json.dumps(modes[tuple(args)](request)))
        return 0
    except (FrameError, OSError, ValueError) as error:
        print(json.dumps({"error": str(error)}))
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

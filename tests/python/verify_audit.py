#!/usr/bin/env python3
"""Independent verifier of audit exports, written from the description of their form in ARCHITECTURE.md.

    python3 verify_audit.py --key audit-key.pem [--heads data.heads] EXPORT ...
    python3 verify_audit.py --selftest

Prints one line of JSON for each export and exits with 1 if any of them is not intact. Needs only the standard library,
whose hashlib must know SM3 (OpenSSL 1.1.1 or newer does).
"""

import argparse
import base64
import hashlib
import json
import sys
from collections.abc import Iterator
from typing import Any

# The recommended curve of GB/T 32918.5.
P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A = P - 3
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
G = (
    0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
    0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0,
)
IDENTITY = b"1234567812345678"
SPKI_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d034200")

Point = tuple[int, int] | None


class Flaw(Exception):
    """The export is not what the device vouched for."""


def sm3(data: bytes) -> bytes:
    """SM3 (GB/T 32905)."""
    return hashlib.new("sm3", data).digest()


# SM2 signatures, GB/T 32918.2 section 7


def add(one: Point, two: Point) -> Point:
    """The sum of two points."""
    if one is None:
        return two
    if two is None:
        return one
    (x1, y1), (x2, y2) = one, two
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    slope = (3 * x1 * x1 + A) * pow(2 * y1, -1, P) if one == two else (y2 - y1) * pow(x2 - x1, -1, P)
    x3 = (slope * slope - x1 - x2) % P
    return x3, (slope * (x1 - x3) - y1) % P


def multiply(number: int, point: Point) -> Point:
    """A multiple of a point."""
    total: Point = None
    while number:
        if number & 1:
            total = add(total, point)
        point, number = add(point, point), number >> 1
    return total


def sm2_verify(key: tuple[int, int], message: bytes, signature: bytes) -> bool:
    """Whether r, s is a signature with SM3 under the default identity."""
    if len(signature) != 64:
        return False
    number = lambda value: value.to_bytes(32, "big")
    z = sm3(
        (len(IDENTITY) * 8).to_bytes(2, "big") + IDENTITY + b"".join(map(number, (A, B, *G, *key)))
    )
    e = int.from_bytes(sm3(z + message), "big")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if not (0 < r < N and 0 < s < N) or (r + s) % N == 0:
        return False
    point = add(multiply(s, G), multiply((r + s) % N, key))
    return point is not None and (e + point[0]) % N == r


def read_key(pem: str) -> tuple[int, int]:
    """The point of a PEM SubjectPublicKeyInfo."""
    body = "".join(line for line in pem.splitlines() if line and not line.startswith("-----"))
    der = base64.b64decode(body, validate=True)
    if not der.startswith(SPKI_HEAD + b"\x04") or len(der) != len(SPKI_HEAD) + 65:
        raise Flaw("the key is no SM2 public key")
    x, y = (int.from_bytes(der[at : at + 32], "big") for at in (27, 59))
    if (y * y - x * x * x - A * x - B) % P:
        raise Flaw("the key is no point of the curve")
    return x, y


# The form of an export


def genuine(signed: dict[str, Any], key: tuple[int, int]) -> dict[str, Any]:
    """The statement that the device signed."""
    text = signed["statement"].encode()
    point = b"\x04" + key[0].to_bytes(32, "big") + key[1].to_bytes(32, "big")
    for signature in signed["signatures"]:
        if signature["algorithm"] == "SM2-SM3" and signature["key"] == sm3(point)[:16].hex():
            if sm2_verify(key, text, base64.b64decode(signature["value"], validate=True)):
                return json.loads(text)
    raise Flaw("the device did not sign this")


def left(count: int) -> int:
    """Records of the left subtree: the largest power of two below the number."""
    return 1 << ((count - 1).bit_length() - 1)


class Verifier:
    """Reads one export."""

    def __init__(self, lines: Iterator[bytes], key: tuple[int, int], heads: dict[int, str]) -> None:
        self.lines, self.key, self.heads = lines, key, heads
        self.first = self.next = self.shown = self.blocks = self.checkpoints = 0
        self.head = b""

    def line(self) -> bytes:
        line = next(self.lines, None)
        if line is None or not line.endswith(b"\n"):
            raise Flaw("the export ends too early")
        return line[:-1]

    def subtree(self, count: int, line: bytes | None = None) -> bytes:
        line = self.line() if line is None else line
        value = json.loads(line)
        withheld = value.get("withheld")
        if withheld is not None and withheld["count"] == count:
            self.next += count
            return bytes.fromhex(withheld["hash"])
        if count == 1:
            if withheld is not None or value.get("sequence") != self.next:
                raise Flaw(f"record {self.next} should stand here")
            self.next, self.shown = self.next + 1, self.shown + 1
            return sm3(b"\x00" + line)
        one = self.subtree(left(count), line)
        return sm3(b"\x01" + one + self.subtree(count - left(count)))

    def block(self, facts: dict[str, Any]) -> None:
        previous, root = bytes.fromhex(facts["previous"]), bytes.fromhex(facts["root"])
        if self.blocks and (facts["first"], previous) != (self.next, self.head):
            raise Flaw(f"the block does not follow record {self.next - 1}")
        if not self.blocks:
            self.first = self.next = facts["first"]
        if self.subtree(facts["count"]) != root:
            raise Flaw(f"a record of the block from {facts['first']} on was changed")
        self.head = sm3(
            b"yaoku/audit/block"
            + facts["first"].to_bytes(8, "big")
            + facts["count"].to_bytes(4, "big")
            + facts["earliest"].to_bytes(8, "big", signed=True)
            + facts["latest"].to_bytes(8, "big", signed=True)
            + previous
            + root
        )
        self.blocks += 1
        for sequence in range(facts["first"], self.next):
            published = self.heads.get(sequence)
            if published is not None and (sequence != self.next - 1 or published != self.head.hex()):
                raise Flaw(f"the head that was published for record {sequence} is another one")

    def run(self) -> dict[str, Any]:
        opening = json.loads(self.line())["evidence"]
        if opening["version"] != 1 or read_key(opening["publicKey"]) != self.key:
            raise Flaw("another version, or another device")
        while True:
            ((kind, value),) = json.loads(self.line()).items()
            here = {"installation": opening["installation"], "head": self.head.hex()}
            if kind == "block":
                self.block(value)
            elif kind == "checkpoint":
                here |= {"statement": "yaoku/audit/checkpoint", "sequence": self.next - 1}
                statement = genuine(value, self.key)
                if any(statement[name] != fact for name, fact in here.items()):
                    raise Flaw("the checkpoint is of another place")
                self.checkpoints += 1
            elif kind == "end":
                here |= {"statement": "yaoku/audit/export", "first": self.first, "last": self.next - 1}
                here |= {"shown": self.shown, "checkpoints": self.checkpoints}
                statement = genuine(value, self.key)
                if any(statement[name] != fact for name, fact in here.items()) or not self.blocks:
                    raise Flaw("records are missing")
                if next(self.lines, None) is not None:
                    raise Flaw("something stands behind the end")
                counts = {"blocks": self.blocks, "checkpoints": self.checkpoints}
                return {"intact": True, "first": self.first, "last": self.next - 1, "shown": self.shown, **counts}
            else:
                raise Flaw(f"a {kind} out of place")


def read_heads(lines: Iterator[bytes], key: tuple[int, int]) -> dict[int, str]:
    """The heads that were published."""
    heads: dict[int, str] = {}
    for line in lines:
        try:
            statement = genuine(json.loads(line), key)
        except (Flaw, ValueError, KeyError):
            continue
        if heads.setdefault(statement["sequence"], statement["head"]) != statement["head"]:
            raise Flaw(f"record {statement['sequence']} has two heads")
    return heads


def verify(path: str, key: tuple[int, int], heads: dict[int, str]) -> dict[str, Any]:
    """What an export is worth. Whatever goes wrong while it is read is a flaw of it."""
    try:
        with open(path, "rb") as lines:
            return Verifier(iter(lines), key, heads).run()
    except Flaw as flaw:
        return {"intact": False, "reason": str(flaw)}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        return {"intact": False, "reason": f"malformed: {error}"}


def selftest() -> bool:
    """GB/T 32905 annex A, GB/T 32918.5 annex A, and the shape of the tree."""
    private = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
    signature = bytes.fromhex(
        "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3"
        "b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"
    )
    key = multiply(private, G)
    checks = {
        "SM3 of abc": sm3(b"abc").hex().startswith("66c7f0f462eeedd9d1f2d46bdc10e4e2"),
        "the base point lies on the curve": (G[1] ** 2 - G[0] ** 3 - A * G[0] - B) % P == 0,
        "the published signature": key is not None and sm2_verify(key, b"message digest", signature),
        "another message": key is not None and not sm2_verify(key, b"message digesu", signature),
        "the left subtree": [left(count) for count in (2, 3, 4, 5, 8, 9)] == [1, 2, 2, 4, 4, 8],
    }
    for name, passed in checks.items():
        print("ok" if passed else "FAILED", name)
    return all(checks.values())


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Verifies audit exports.")
    parser.add_argument("exports", nargs="*", metavar="EXPORT")
    parser.add_argument("--key", metavar="FILE")
    parser.add_argument("--heads", metavar="FILE")
    parser.add_argument("--selftest", action="store_true")
    arguments = parser.parse_args()
    if arguments.selftest:
        return 0 if selftest() else 1
    with open(arguments.key, encoding="ascii") as file:
        key = read_key(file.read())
    heads = {}
    if arguments.heads:
        with open(arguments.heads, "rb") as lines:
            heads = read_heads(iter(lines), key)
    verdicts = [verify(path, key, heads) for path in arguments.exports]
    for verdict in verdicts:
        print(json.dumps(verdict))
    return 0 if all(verdict["intact"] for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())

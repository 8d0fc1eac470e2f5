#!/usr/bin/env python3
"""Looks for private RSA keys: whatever form one is kept in, one of its primes stands in it.

    python3 primes.py FOLDER MODULUS...   names each file below the folder that holds a prime factor of a modulus (hexadecimal,
                                          2048 bits): as it is in both byte orders, in hexadecimal, in Base64
    python3 primes.py --selftest          finds planted factors in every form, and nothing where there is none

Needs the standard library.
"""

import base64
import re
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

PRIME = 128  # bytes
HEX = re.compile(rb"[0-9a-fA-F]{%d,}" % (2 * PRIME))
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{%d,}" % (PRIME * 4 // 3))


def decoded(data: bytes) -> Iterator[bytes]:
    """The bytes themselves, and those that stand in them as text, at every alignment."""
    yield data
    for run in HEX.findall(data):
        for start in range(2):
            digits = run[start:]
            yield bytes.fromhex(digits[: len(digits) // 2 * 2].decode())
    for run in BASE64.findall(data):
        text = run.replace(b"-", b"+").replace(b"_", b"/")
        for start in range(4):
            whole = text[start:]
            yield base64.b64decode(whole[: len(whole) // 4 * 4])


def holds_factor(data: bytes, moduli: list[int]) -> bool:
    """Whether a factor of half the length stands anywhere: it is odd, and its highest bit is set."""
    for at in range(len(data) - PRIME + 1):
        first, last = data[at], data[at + PRIME - 1]
        for high, low, order in ((first, last, "big"), (last, first, "little")):
            if high >= 0x80 and low & 1:
                number = int.from_bytes(data[at : at + PRIME], order)
                if any(modulus % number == 0 for modulus in moduli):
                    return True
    return False


def found(data: bytes, moduli: list[int]) -> bool:
    return any(holds_factor(part, moduli) for part in decoded(data))


def selftest() -> None:
    odd = lambda: secrets.randbits(8 * PRIME) | 1 | 1 << (8 * PRIME - 1)
    noise = secrets.token_bytes(700)
    factor, other = odd(), odd()
    moduli = [odd() * odd(), factor * other]
    big, little = (factor.to_bytes(PRIME, order) for order in ("big", "little"))
    for name, form in {
        "big-endian": big,
        "little-endian": little,
        "hexadecimal": b"x" + big.hex().encode() + b"x",
        "HEXADECIMAL": b"1" + big.hex().upper().encode(),
        "Base64": b'"' + base64.b64encode(noise[:50] + big + noise[:9]) + b'"',
        "URL-safe Base64": b" " + base64.urlsafe_b64encode(noise[:51] + little + noise[:9]) + b" ",
        "Base64 amid letters": b"abc" + base64.b64encode(noise[:52] + big),
        "at the end": big,
    }.items():
        planted = noise + form + (b"" if name == "at the end" else noise)
        assert found(planted, moduli), name
        print("ok", name)
    assert not found(noise * 3 + big[1:], moduli), "a part of one is none"
    print("ok nothing in noise")


def main() -> None:
    if sys.argv[1:] == ["--selftest"]:
        selftest()
        return
    moduli = [int(text, 16) for text in sys.argv[2:]]
    assert moduli and all(modulus.bit_length() == 2048 for modulus in moduli)
    for file in sorted(Path(sys.argv[1]).rglob("*")):
        if file.is_file() and found(file.read_bytes(), moduli):
            print(file)


main()

#!/usr/bin/env python3
"""A tour of the service with the client in yaoku.py: a key, a secret, a file, a refusal; then the same as an application.

    python3 examples/python/tour.py --endpoint https://127.0.0.1:8443 --access-point https://127.0.0.1:9092 \\
        --ca data/tls/ca.pem --credential data/first-run.json

Besides Python it needs openssl, because Python's standard library has no cipher for the file.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import subprocess
import uuid
from typing import NamedTuple

from yaoku import AccessPoint, Client, OpenApi, Refused

FILE_BYTES = 8_000_000
CONTEXT = {"purpose": "tour"}


class Envelope(NamedTuple):
    """A sealed file with everything needed to open it, except the key of the service."""

    data_key: str
    proof: bytes
    sealed: bytes


def cipher(key: bytes, data: bytes) -> bytes:
    """AES-256-CTR, both ways, under a key that is used for one file only; openssl reads it from a pipe."""
    reading, writing = os.pipe()
    os.write(writing, key.hex().encode())
    os.close(writing)
    command = ["openssl", "enc", "-aes-256-ctr", "-pbkdf2", "-iter", "1", "-nosalt", "-pass", f"fd:{reading}"]
    try:
        return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True, pass_fds=(reading,)).stdout
    finally:
        os.close(reading)


def seal(client: Client, key: str, data: bytes) -> Envelope:
    """Envelope encryption: the data stay here; the service makes a data key and keeps nothing."""
    data_key = client.generate_data_key(key, 64, CONTEXT)
    for_cipher, for_proof = data_key.plaintext[:32], data_key.plaintext[32:]
    sealed = cipher(for_cipher, data)
    return Envelope(data_key.sealed.ciphertext, hmac.new(for_proof, sealed, hashlib.sha256).digest(), sealed)


def unseal(client: Client, envelope: Envelope) -> bytes:
    """Has the service open the data key, checks the proof, and decrypts."""
    data_key = client.decrypt(envelope.data_key, CONTEXT)
    for_cipher, for_proof = data_key[:32], data_key[32:]
    if not hmac.compare_digest(envelope.proof, hmac.new(for_proof, envelope.sealed, hashlib.sha256).digest()):
        raise ValueError("the file was changed")
    return cipher(for_cipher, envelope.sealed)


def work(name: str, client: Client) -> None:
    """What people and applications do alike."""
    alias = f"alias/tour-{uuid.uuid4().hex[:12]}"
    key = client.create_key(alias=alias, description="made by the tour")
    print(f"{name}: key {key['cmkUuid']} {key['keySpec']} {client.describe_key(alias)['keyState']}")

    secret = "口令 password".encode()
    sealed = client.encrypt(alias, secret, CONTEXT)
    assert client.decrypt(sealed.ciphertext, CONTEXT) == secret and sealed.key == key["cmkUuid"]
    print(f"{name}: secret of {len(secret)} bytes encrypted and decrypted")

    file = os.urandom(FILE_BYTES)
    envelope = seal(client, alias, file)
    assert unseal(client, envelope) == file and envelope.sealed != file
    print(f"{name}: file of {len(file)} bytes sealed and opened, its data key is {len(envelope.data_key)} characters")

    client.disable_key(alias)
    try:
        unseal(client, envelope)
    except Refused as refused:
        print(f"{name}: refused while disabled: {refused.code} {refused.message}")
    else:
        raise AssertionError("a disabled key decrypts")
    client.enable_key(alias)
    assert unseal(client, envelope) == file
    try:
        client.decrypt(sealed.ciphertext, {"purpose": "another"})
    except Refused as refused:
        print(f"{name}: refused in another context: {refused.code} {refused.message}")
    else:
        raise AssertionError("a ciphertext opens in another context")


def main() -> None:
    """Reads the command line and takes the tour."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", default="https://127.0.0.1:8443")
    parser.add_argument("--access-point", default="https://127.0.0.1:9092")
    parser.add_argument("--ca", default="data/tls/ca.pem")
    parser.add_argument("--credential", default="data/first-run.json", help="first-run.json, or a profile of yaoku")
    options = parser.parse_args()
    with open(options.credential, encoding="utf-8") as file:
        written = json.load(file)
    credential = written.get("openapi", written)
    person = OpenApi(options.endpoint, options.ca, credential["accessKey"], credential["secretKey"])
    work("person", person)
    made = person.create_credential(person.access_points()[0])
    work("application", AccessPoint(options.access_point, options.ca, made["accessKey"], made["secretKey"]))


if __name__ == "__main__":
    main()

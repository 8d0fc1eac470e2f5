#!/usr/bin/env python3
"""Independent witness of both request signatures: signs a call and sends it over TLS.

    python3 client.py eop --endpoint https://HOST:PORT --ca ca.pem --ak AK --sk SK /v1/cmkManage/createKey '{...}'
    python3 client.py aap --endpoint https://HOST:PORT --ca ca.pem --ak AK --sk SK /keyCompute/encrypt '{...}'
    python3 client.py --selftest

Prints {"status","headers","body"} on one line per call. With --batch it reads lines {"path","body"} from standard
input (a body that is a string is sent as it is) and sends them over one connection. Needs only the standard library.
"""

import argparse
import base64
import hashlib
import hmac
import http.client
import json
import os
import ssl
import sys
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

BEIJING = timezone(timedelta(hours=8))
TIMEOUT_SECONDS = 60


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256."""
    return hmac.digest(key, message, "sha256")


def b64(data: bytes) -> str:
    """Standard Base64 with padding."""
    return base64.b64encode(data).decode("ascii")


# OpenAPI: EOP signature


class EopKeys(NamedTuple):
    """The chain of keys behind an EOP signature."""

    ktime: bytes
    kak: bytes
    kdate: bytes


def eop_date(beijing: bool = False) -> str:
    """The present as `Eop-date`: UTC, or Beijing time with the same trailing Z."""
    return datetime.now(BEIJING if beijing else UTC).strftime("%Y%m%dT%H%M%SZ")


def eop_query(query: str) -> str:
    """The canonical form of a query: pairs sorted by name, values percent-encoded with nothing left safe."""
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    ordered = sorted(((name, unquote(value)) for name, _, value in pairs), key=lambda pair: pair[0])
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in ordered)


def eop_keys(ak: str, sk: str, date: str) -> EopKeys:
    """Derives the signing key and its two ancestors."""
    ktime = hmac_sha256(sk.encode(), date.encode())
    kak = hmac_sha256(ktime, ak.encode())
    return EopKeys(ktime, kak, hmac_sha256(kak, date[:8].encode()))


def eop_string_to_sign(request_id: str, date: str, query: str, body: bytes) -> str:
    """The text under the signature; `query` is canonical."""
    headers = f"ctyun-eop-request-id:{request_id}\neop-date:{date}\n"
    return f"{headers}\n{query}\n{hashlib.sha256(body).hexdigest()}"


def eop_signature(ak: str, sk: str, request_id: str, date: str, query: str, body: bytes) -> str:
    """The Base64 signature of a request; `query` is canonical."""
    text = eop_string_to_sign(request_id, date, query, body)
    return b64(hmac_sha256(eop_keys(ak, sk, date).kdate, text.encode()))


def eop_headers(ak: str, sk: str, request_id: str, date: str, query: str, body: bytes) -> dict[str, str]:
    """The three headers of a signed OpenAPI request."""
    signature = eop_signature(ak, sk, request_id, date, query, body)
    return {
        "ctyun-eop-request-id": request_id,
        "Eop-date": date,
        "Eop-Authorization": f"{ak} Headers=ctyun-eop-request-id;eop-date Signature={signature}",
    }


# Access point: header HMAC


def aap_date() -> str:
    """The present as `requestDate`, in Beijing time."""
    return format_datetime(datetime.now(BEIJING)).rpartition(" ")[0] + " CST"


def aap_value(name: str, value: Any) -> str:
    """The signed form of one body value; numbers arrive here as their JSON text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    raise ValueError(f"{name}: nested values have no signed form")


def aap_fields(body: bytes) -> dict[str, str]:
    """The top-level fields of a JSON body in their signed form."""
    if not body:
        return {}
    fields = json.loads(body, parse_int=str, parse_float=str)
    if not isinstance(fields, dict):
        raise ValueError("the body must be a JSON object")
    return {name: aap_value(name, value) for name, value in fields.items()}


def aap_content_md5(ak: str, body: bytes) -> str:
    """Base64 MD5 of the values of body and access key, in the byte order of their names."""
    fields = aap_fields(body) | {"accessKey": ak}
    content = "\n".join(fields[name] for name in sorted(fields, key=str.encode))
    return b64(hashlib.md5(content.encode(), usedforsecurity=False).digest())


def aap_signature(ak: str, sk: str, date: str, path: str, body: bytes) -> str:
    """The `hmac` header of a request."""
    return b64(hmac_sha256(sk.encode(), f"{aap_content_md5(ak, body)}\n{date}\n{path}".encode()))


def aap_headers(ak: str, sk: str, date: str, path: str, body: bytes) -> dict[str, str]:
    """The three headers of a signed access-point request."""
    return {"accessKey": ak, "requestDate": date, "hmac": aap_signature(ak, sk, date, path, body)}


# Transport


def connect(endpoint: str, ca: str) -> http.client.HTTPSConnection:
    """Opens a connection that trusts only the given CA and is never silently reopened."""
    url = urlsplit(endpoint)
    if url.scheme != "https" or not url.hostname or url.path not in ("", "/"):
        raise ValueError("the endpoint must look like https://HOST:PORT")
    tls = ssl.create_default_context(cafile=ca)
    connection = http.client.HTTPSConnection(url.hostname, url.port, timeout=TIMEOUT_SECONDS, context=tls)
    connection.connect()
    connection.auto_open = 0
    return connection


def send(
    connection: http.client.HTTPConnection, method: str, target: str, headers: Mapping[str, str], body: bytes
) -> dict[str, Any]:
    """Sends one request and returns {"status","headers","body"}."""
    typed = {"Content-Type": "application/json"} if body else {}
    connection.request(method, target, body=body or None, headers=typed | dict(headers))
    response = connection.getresponse()
    text = response.read().decode(errors="replace")
    received: dict[str, str] = {}
    for name, value in response.getheaders():
        name = name.lower()
        received[name] = f"{received[name]}, {value}" if name in received else value
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = text
    return {"status": response.status, "headers": received, "body": parsed}


def call_eop(
    connection: http.client.HTTPConnection,
    ak: str,
    sk: str,
    path: str,
    body: bytes = b"",
    *,
    method: str = "POST",
    query: str = "",
    date: str | None = None,
    request_id: str | None = None,
    beijing: bool = False,
) -> dict[str, Any]:
    """Signs and sends one OpenAPI call."""
    canonical = eop_query(query)
    headers = eop_headers(ak, sk, request_id or str(uuid.uuid4()), date or eop_date(beijing), canonical, body)
    return send(connection, method, f"{path}?{canonical}" if canonical else path, headers, body)


def call_aap(
    connection: http.client.HTTPConnection,
    ak: str,
    sk: str,
    path: str,
    body: bytes = b"",
    *,
    method: str = "POST",
    date: str | None = None,
) -> dict[str, Any]:
    """Signs and sends one access-point call."""
    return send(connection, method, path, aap_headers(ak, sk, date or aap_date(), path, body), body)


def selftest() -> bool:
    """Checks the signatures against the contract's vectors and prints one line each."""
    body = b'{"cmkUuid":"241ede22-6261-4617-9caf-10d89990516c","plaintext":"SGVsbG8gd29ybGQ="}'
    first = ("27cfe4dc-e640-45f6-92ca-492ca73e8680", "20260101T080000Z", "", body)
    text = eop_string_to_sign(*first)
    keys = eop_keys("kms-demo-ak", "kms-demo-sk", first[1])
    second = ("request-123", "20260613T010203Z", eop_query("b=two&a=1"))
    aap_ak = "7c92c33c3b0ea84e2d646b76f6c2cec7"
    aap = (aap_ak, "kms-demo-aap-sk", "Wed, 16 Jul 2025 15:47:53 CST", "/keyCompute/encrypt", body)
    body_hash = "2545e9742bf9b743159a02686a4b38d3e465a5e591bffea9021cea724f7af795"
    pairs = {
        "EOP string to sign": (
            text,
            "ctyun-eop-request-id:27cfe4dc-e640-45f6-92ca-492ca73e8680\neop-date:20260101T080000Z\n\n\n" + body_hash,
        ),
        "EOP ktime": (keys.ktime.hex(), "2d6824338a74cb4e2f58785a4b1a66a019ecafedb1eca9e46c82a47d8532605b"),
        "EOP kAk": (keys.kak.hex(), "d586ace0c3215a37d91c87488791606b678728acb5f20fd923111077006d2682"),
        "EOP kdate": (keys.kdate.hex(), "f026df7566677929c780b9ffd27b64695db7a6b73838d4db26aaac3034202903"),
        "EOP authorization": (
            eop_headers("kms-demo-ak", "kms-demo-sk", *first)["Eop-Authorization"],
            "kms-demo-ak Headers=ctyun-eop-request-id;eop-date Signature=SQ4IMMQo1Oy9nHc6taIoQ0ScCTkeM9upeQYkxdECXG4=",
        ),
        "EOP signature with a query": (
            eop_signature("test-ak", "test-sk", *second, b'{"regionID":"81f7728662dd11ec810800155d307d5b"}'),
            "h+H8K5CbPz1DjnbVWA+FEPGbbcEJOzVsi2GQv4LroyM=",
        ),
        "AAP contentMD5": (aap_content_md5(aap_ak, body), "aoGqAzlLoJrz3RhLA13wgg=="),
        "AAP hmac": (aap_signature(*aap), "GpHvdsenxKsTNZ3KNOgehJikAIoHIoZr3KZXsn8ogpA="),
        "AAP values": (
            list(aap_fields(b'{"a":1.50,"b":-7,"c":true,"d":false,"e":null,"f":"x"}').values()),
            ["1.50", "-7", "true", "false", "", "x"],
        ),
    }
    for name, (found, expected) in pairs.items():
        print("ok  " if found == expected else "FAIL", name)
    return all(found == expected for found, expected in pairs.values())


def parse_args(args: list[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="client.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("plane", nargs="?", choices=("eop", "aap"))
    parser.add_argument("path", nargs="?")
    parser.add_argument("body", nargs="?", default="")
    parser.add_argument("--endpoint")
    parser.add_argument("--ca", help="PEM file of the CA to trust")
    parser.add_argument("--ak", default=os.environ.get("YAOKU_AK"))
    parser.add_argument("--sk", default=os.environ.get("YAOKU_SK"))
    parser.add_argument("--method", default="POST")
    parser.add_argument("--date", help="date header, sent and signed as given")
    parser.add_argument("--query", default="", help="eop: a=1&b=two")
    parser.add_argument("--request-id", help="eop: default is a fresh UUID")
    parser.add_argument("--beijing", action="store_true", help="eop: date in UTC+8")
    parser.add_argument("--batch", action="store_true", help="read calls from standard input")
    parser.add_argument("--selftest", action="store_true")
    options = parser.parse_intermixed_args(args)
    if options.selftest:
        return options
    if not (options.plane and options.endpoint and options.ca and options.ak and options.sk):
        parser.error("plane, --endpoint, --ca, --ak and --sk are needed")
    if options.batch == bool(options.path):
        parser.error("give either a path or --batch")
    if options.plane == "aap" and (options.query or options.request_id or options.beijing):
        parser.error("--query, --request-id and --beijing belong to eop")
    return options


def main(args: list[str]) -> int:
    """Runs the command line and returns the exit status; any HTTP answer is a success."""
    options = parse_args(args)
    if options.selftest:
        return 0 if selftest() else 1
    credentials = (options.ak, options.sk)

    def call(path: str, body: Any) -> None:
        raw = (body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)).encode()
        if options.plane == "aap":
            reply = call_aap(connection, *credentials, path, raw, method=options.method, date=options.date)
        else:
            reply = call_eop(
                connection,
                *credentials,
                path,
                raw,
                method=options.method,
                query=options.query,
                date=options.date,
                request_id=options.request_id,
                beijing=options.beijing,
            )
        print(json.dumps(reply), flush=True)

    try:
        connection = connect(options.endpoint, options.ca)
        if not options.batch:
            call(options.path, options.body)
            return 0
        for line in sys.stdin.buffer:
            if line.strip():
                entry = json.loads(line)
                call(entry["path"], entry.get("body", ""))
        return 0
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#!/usr/bin/env python3
"""Starts a service with high rates on a temporary directory and lets schemathesis loose on the documents of both planes,
anonymous and signed. Fails on any finding, and if fewer cases ran than asked for.

    run.py --program target/debug/yaoku --schemathesis target/python/bin/schemathesis [--cases 20000]
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "python"))
import client  # noqa: E402

# Business errors have their real status, as schemathesis expects of an API; the form with HTTP 200 exists for the vendor's
# clients only. Rates and quotas would hide everything behind them.
SETTINGS = {"YAOKU_OPENAPI_HTTP_STATUS": "rest", "YAOKU_QUOTA_KEYS_PER_BASE_INSTANCE": "1000000", "YAOKU_LOG_LEVEL": "warn"}
CLASSES = ("KEY_CREATE", "KEY_READ", "KEY_WRITE", "SYMMETRIC", "ASYMMETRIC", "INTEGRITY", "RANDOM", "OTHER_READ", "OTHER_WRITE")
# Somebody on the curve of SM2, to export data keys to.
PUBLIC_KEY = "MFkwEwYHKoZIzj0CAQYIKoEcz1UBgi0DQgAEHryK1xyIJrb185R0/Yq7kZibvj1yUsmVvbre8uXLgkbEH3GApP2npvLFepW7hTewDUpNClTtOC+NwkdxhTbAKQ=="
# What key pairs that the cases can find are for.
USAGES = ("SIGN/VERIFY", "ENCRYPT/DECRYPT")
# Runs: plane, whether it signs, and its share of the cases; what follows from the schemas alone comes on top.
RUNS = (("openapi", True, 0.24), ("accessPoint", True, 0.2), ("openapi", False, 0.18), ("accessPoint", False, 0.15))


def settings(data: Path) -> dict[str, str]:
    """The environment of the service."""
    rates = {f"YAOKU_RATES_{name}_{plane}": "1000000" for name in CLASSES for plane in ("OPENAPI", "ACCESS_POINT")}
    listen = {f"YAOKU_{plane}_LISTEN": "127.0.0.1:0" for plane in ("OPENAPI", "ACCESS_POINT")}
    plain = {name: value for name, value in os.environ.items() if not name.startswith("YAOKU_")}
    return plain | SETTINGS | rates | listen | {"YAOKU_DATA": str(data)}


def prepare(ready: dict, data: Path) -> dict[str, dict]:
    """Makes what the cases can find: a key with an alias and a ciphertext, key pairs; returns the callers by plane."""
    first = json.loads((data / "first-run.json").read_text())
    person = first["openapi"]
    connection = client.connect(ready["openapi"], str(data / "tls/ca.pem"))

    def call(path: str, body: dict) -> dict:
        raw = json.dumps(body).encode()
        answer = client.call_eop(connection, person["accessKey"], person["secretKey"], path, raw)
        assert answer["status"] == 200, answer
        return answer["body"]["returnObj"]["result"]

    key = call("/v1/cmkManage/createKey", {"aliasName": "alias/known"})
    sealed = call("/v1/keyCompute/encrypt", {"cmkUuid": "alias/known", "plaintext": "aGVsbG8="})
    pairs = [call("/v1/cmkManage/createKey", {"keySpec": "SM2", "keyUsage": use})["cmkUuid"] for use in USAGES]
    versions = [call("/v1/versionControl/listKeyVersions", {"cmkUuid": pair})["keyVersions"][0] for pair in pairs]
    application = call("/v1/userAk/createUserAk", {"accessPointId": first["accessPointId"]})
    records = call("/v1/audit/queryAudit", {"pageSize": 1})["records"]
    known = {
        "publicKeyBlob": [PUBLIC_KEY],
        "eventId": [records[0]["eventId"]],
        "cmkUuid": [key["cmkUuid"], *pairs],
        "ciphertextBlob": [sealed["ciphertextBlob"]],
        "keyVersionId": [sealed["keyVersionId"], *(version["keyVersionId"] for version in versions)],
        "accessPointId": [first["accessPointId"]],
        "instanceId": [first["instanceId"]],
    }
    return {"openapi": person | {"known": known}, "accessPoint": application | {"known": known}}


def operations(endpoint: str, ca: str) -> int:
    """How many operations the document of a plane has."""
    document = client.send(client.connect(endpoint, ca), "GET", "/openapi.json", {}, b"")["body"]
    return sum(len(item) for item in document["paths"].values())


def attack(options: argparse.Namespace, run: tuple[str, bool, float], ready: dict, callers: dict, folder: Path) -> dict:
    """One run of schemathesis: its name, how many cases it made, and whether it found nothing."""
    plane, signed, share = run
    name, ca = f"{plane} {'signed' if signed else 'anonymous'}", str(folder / "data/tls/ca.pem")
    examples = max(1, round(options.cases * share / operations(ready[plane], ca)))
    caller = callers[plane] if signed else {"known": callers[plane]["known"]}
    environment = os.environ | {
        "YAOKU_PLANE": plane,
        "YAOKU_CALLER": json.dumps(caller),
        "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [
        *(options.schemathesis, "--config-file", str(HERE / "schemathesis.toml"), "run"),
        *(f"{ready[plane]}/openapi.json", "--tls-verify", ca, "--max-examples", str(examples), "--no-color"),
    ]
    # Runs are processes of one thread each: threads of one process spoil each other's syntax trees in older Python.
    report = folder / f"{name.replace(' ', '-')}.txt"
    with report.open("w") as output:
        code = subprocess.run(command, env=environment, check=False, cwd=folder, stdout=output, stderr=output).returncode
    result = {"name": name, "cases": cases_in(report), "passed": code == 0, "report": report}
    print(f"{name}: {result['cases']} cases, {'nothing found' if code == 0 else 'FAILED'}", flush=True)
    return result


def cases_in(report: Path) -> int:
    """How many cases a run says that it made."""
    found = re.search(r"^\s+(\d+) generated", report.read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


def main() -> int:
    """Runs everything; the exit status is 0 if nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, type=lambda path: str(Path(path).resolve()))
    parser.add_argument("--schemathesis", required=True, type=lambda path: str(Path(path).absolute()))
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="yaoku-schemathesis-", dir=memory))
    data = folder / "data"
    with (folder / "log").open("w") as log:
        service = subprocess.Popen(
            [options.program, "serve"], env=settings(data), stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        ready = json.loads(service.stdout.readline())
        callers = prepare(ready, data)
        with ThreadPoolExecutor(options.workers) as pool:
            results = list(pool.map(lambda run: attack(options, run, ready, callers, folder), RUNS))
        alive = service.poll() is None
    finally:
        service.terminate()
        service.wait(30)
    log_lines = (folder / "log").read_text().splitlines()
    # What the HTTP library says of requests that are none is about the client.
    internal = [line for line in log_lines if " ERROR " in line and "actix_http" not in line or "panicked" in line]
    total, found = sum(result["cases"] for result in results), [one for one in results if not one["passed"]]
    print(f"figure schemathesis_cases {total}, runs with findings {len(found)}, errors in the log {len(internal)}")
    for result in found:
        print(f"== {result['name']}\n{result['report'].read_text()}")
    print(*internal[:20], sep="\n")
    passed = alive and not found and not internal and total >= options.cases
    if passed:
        shutil.rmtree(folder)
    else:
        print(f"log of the service: {folder}/log")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())

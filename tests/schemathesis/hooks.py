"""Hooks of the schemathesis run: sign requests, say in the schema what the document says in words, judge codes.

The document shows request fields in their canonical form and says once, above all operations, what else is read. Here
the same rules become part of the schema, so that data after the rules counts as valid and everything else as invalid:
the service must read the one and refuse the other.
"""

import json
import os
import re
import sys
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import requests
import schemathesis

sys.path.insert(0, str(Path(__file__).parents[1] / "python"))
import client  # noqa: E402

CALLER = json.loads(os.environ["YAOKU_CALLER"])
PLANE = os.environ["YAOKU_PLANE"]

# A moment has a pattern that also fits the 31st of February.
MOMENT = "^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$"

# What a valid request may still be refused for with a code of malformed requests: none of it has a form in JSON Schema.
BEYOND_SCHEMAS = {
    r"^(cursor is not|参数缺失: cursor)": "cursors of exports and checks carry a MAC: only the service makes them",
    r"^tags names a tag twice": "uniqueness of a part of each item",
    r"^\w*[eE]ncryptionContext may hold at most 8 KiB": "a sum over names and values",
    r"^(Asymmetric encrypt need source|Algorithm cannot)": "needed only where the ciphertext is an asymmetric one",
    r"^publicKeyBlob (must be the SubjectPublicKeyInfo|is not a public key of)": "Base64 of something else than a public key",
    r"^plaintext must have 1 to (190|214|6047) bytes with": "each algorithm takes another length",
    r"^numberOfBytes must be 1 to (190|214)": "less for RSA recipients than for others",
    r"^ciphertextBlob holds more than": "less for RSA recipients than for others",
    r"^Rotationinterval cannot be empty": "needed only where enableAutomaticRotation is true",
    r"^参数缺失: instanceId": "rollWrappingKey takes instanceId, accountId or device",
    r"^(device|accountId) excludes": "rollWrappingKey takes instanceId, accountId or device",
    r"^aliasName .*(reserved|product)": "names of cloud products",
    r"^clientToken was used with another request": "depends on earlier requests",
    r"^the request names a field twice": "queries that repeat a name",
    r"^must be a JSON string here": "additional lists and objects on the access point",
}


class Signed(requests.auth.AuthBase):
    """Signs a request as it will be sent."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        url = urlsplit(request.url)
        credentials = (CALLER["accessKey"], CALLER["secretKey"])
        if PLANE == "openapi":
            headers = client.eop_headers(*credentials, str(uuid.uuid4()), client.eop_date(), url.query, body)
        else:
            headers = access_point_headers(*credentials, request.method, url, body)
        request.headers.update(headers)
        return request


def access_point_headers(ak: str, sk: str, method: str, url, body: bytes) -> dict[str, str]:
    """The signature over body or query; what has no signed form is refused before the signature matters."""
    if method == "GET":
        pairs = [(client.unquote(n.replace("+", " ")), client.unquote(v.replace("+", " "))) for n, _, v in
                 (pair.partition("=") for pair in url.query.split("&") if pair)]
        body = json.dumps(dict(pairs)).encode()
    try:
        return client.aap_headers(ak, sk, client.aap_date(), url.path, body)
    except ValueError:
        return client.aap_headers(ak, sk, client.aap_date(), url.path, b"")


if CALLER.get("accessKey"):
    schemathesis.auth.set_from_requests(Signed())


def number_pattern(low: int, high: int) -> str:
    """The decimal numbers from low to high, leading zeros allowed."""
    def same_length(a: str, b: str) -> list[str]:
        if a == b:
            return [a]
        if not a[1:]:
            return [f"[{a}-{b}]"]
        if a[0] == b[0]:
            return [a[0] + rest for rest in same_length(a[1:], b[1:])]
        found = [a[0] + rest for rest in same_length(a[1:], "9" * (len(a) - 1))]
        if int(b[0]) - int(a[0]) > 1:
            found.append(f"[{int(a[0]) + 1}-{int(b[0]) - 1}][0-9]{{{len(a) - 1}}}")
        return found + [b[0] + rest for rest in same_length("0" * (len(b) - 1), b[1:])]

    parts: list[str] = []
    for length in range(len(str(low)), len(str(high)) + 1):
        first, last = max(low, 10 ** (length - 1) if length > 1 else 0), min(high, 10**length - 1)
        parts += same_length(str(first), str(last))
    return f"^0*({'|'.join(parts)})$"


# Whole numbers without an upper limit; longer ones are rare among invalid data and valid to the service too.
ANY_NUMBER = "^0*[1-9][0-9]{0,17}$"


def any_case(name: str) -> str:
    """A pattern for a name of an enumeration: any case, `_` for `/`."""
    letters = {"/": "[/_]", "_": "[/_]"}
    return "".join(letters.get(c, f"[{c.lower()}{c.upper()}]" if c.isalpha() else re.escape(c)) for c in name)


def widened(name: str, field: dict, *, required: bool, query: bool) -> dict:
    """A field's schema with everything that the document says is read too."""
    field = dict(field)
    if name == "regionId":
        field = {"type": "string", "enum": ["local"]}  # only that of the service, which the document does not tell
    if field.get("format") == "date-time":
        field["pattern"] = MOMENT
        del field["format"]
    if "contentSchema" in field:  # a string of JSON: schemathesis makes strings, not JSON in strings
        empty = "[]" if field["contentSchema"]["type"] == "array" else "{}"
        json_text = {"type": "string", "enum": [empty, *field.get("examples", [])]}
        return json_text if required or query else {"anyOf": [json_text, {"type": "null"}]}
    forms = [field]
    if name in CALLER["known"]:
        forms.insert(0, {"type": "string", "enum": CALLER["known"][name]})
    kind = field.get("type")
    if kind == "integer" and not query:
        pattern = number_pattern(field["minimum"], field["maximum"]) if "maximum" in field else ANY_NUMBER
        forms.append({"type": "string", "pattern": pattern})
    if kind == "boolean" and not query:
        forms.append({"type": "string", "enum": ["true", "false"]})
    if "enum" in field and name != "regionId" and kind == "string":
        names = field["enum"] + field.get("x-also-values", [])
        forms.append({"type": "string", "pattern": "^(" + "|".join(any_case(one) for one in names) + ")$"})
        numbers = [int(one) for one in names if one.isdigit()]
        if numbers and not query:
            forms.append({"type": "integer", "enum": numbers})
    if not required and not query:
        forms.append({"type": "null"})
    return field if len(forms) == 1 else {"anyOf": forms}


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Puts the rules of the document's description into its schemas."""
    if CALLER.get("accessKey"):
        # Every request is signed after its data is made: headers of the signature are no data here. Anonymous runs make them.
        del raw_schema["security"], raw_schema["components"]["securitySchemes"]
    for name in ("ExportAuditRequest", "VerifyAuditRequest"):
        # Cursors of these carry a MAC: only the service makes valid ones.
        raw_schema["components"]["schemas"].get(name, {"properties": {}})["properties"].pop("cursor", None)
    for name, schema in raw_schema["components"]["schemas"].items():
        if name.endswith("Request"):
            required = schema.get("required", [])
            for field, inner in schema["properties"].items():
                schema["properties"][field] = widened(field, inner, required=field in required, query=False)
    for item in raw_schema["paths"].values():
        reading = item.get("get", {"operationId": "", "parameters": []})
        if reading["operationId"] in ("exportAuditByGet", "verifyAuditByGet"):
            reading["parameters"] = [one for one in reading["parameters"] if one["name"] != "cursor"]
        for parameter in reading["parameters"]:
            if "schema" in parameter:
                wide = widened(parameter["name"], parameter["schema"], required=parameter["required"], query=True)
                parameter["schema"] = wide


@schemathesis.check
def valid_data_is_understood(ctx, response, case):
    """Valid data may be refused for what it asks, never for its form."""
    if case.meta is None or not case.meta.generation.mode.is_positive or case.method not in ("GET", "POST"):
        return
    try:
        answer = response.json()
    except ValueError:
        return
    code, message = answer.get("errorCode") or "", answer.get("message") or ""
    if code == "KMS.9020" or code.startswith("KMS.01"):
        if not any(re.search(pattern, message) for pattern in BEYOND_SCHEMAS):
            raise AssertionError(f"valid data was refused for its form: {code} {message}")


@schemathesis.check
def refusals_are_whole(ctx, response, case):
    """Every refusal of the service names code, text and request id, whatever it was asked."""
    if response.status_code >= 400:
        answer = response.json()
        assert re.fullmatch(r"KMS\.\d{4}", answer["errorCode"]), answer
        assert answer["message"] and answer["requestId"], answer


@schemathesis.check
def strangers_get_nothing(ctx, response, case):
    """Without a signature nothing is answered but refusals."""
    if not CALLER.get("accessKey"):
        assert response.status_code in (400, 401, 404, 405, 413), response.status_code

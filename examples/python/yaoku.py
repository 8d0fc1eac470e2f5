"""A typed client of the Yaoku key management service: both planes, standard library only, Python 3.9 and newer.

Written from `/openapi.json` and README alone. `OpenApi` signs as a person, `AccessPoint` as an application; both have the
operations of `Client`. A refusal is raised as `Refused` and carries the code that the document lists.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import ssl
import time
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import format_datetime
from typing import Any, Dict, List, Mapping, Optional, TypedDict, Union, cast
from urllib.parse import urlsplit

Field = Union[str, int, bool, Mapping[str, str], None]
"""What a request field may hold; a mapping is an encryption context."""

TRIES = 4
TIMEOUT_SECONDS = 30


class Key(TypedDict):
    """A key as createKey and describeKey answer it, without the fields that only some keys have."""

    cmkUuid: str
    arn: str
    creationDate: str
    description: str
    keySpec: str
    keyState: str
    keyUsage: str
    protectionLevel: str


class SwitchedKey(TypedDict):
    """What enableKey and disableKey answer."""

    cmkUuid: str
    keyState: str


class NewCredential(TypedDict):
    """A credential of an access point; its secret key is shown only here."""

    accessKey: str
    secretKey: str
    status: str
    createTime: str


@dataclass(frozen=True)
class Sealed:
    """A ciphertext and the key that made it."""

    ciphertext: str
    key: str
    key_version: str


@dataclass(frozen=True)
class DataKey:
    """A data key: clear for use now, encrypted for keeping."""

    plaintext: bytes
    sealed: Sealed

    def __repr__(self) -> str:
        return f"DataKey({len(self.plaintext)} bytes)"


class Refused(Exception):
    """The service refused the call: the code of the document, what to do, and the id under which the audit trail knows it."""

    def __init__(self, code: str, message: str, request_id: str, http_status: int, retry_after: Optional[int]) -> None:
        super().__init__(f"{code} {message} (request {request_id})")
        self.code, self.message, self.request_id = code, message, request_id
        self.http_status, self.retry_after = http_status, retry_after


def _hmac(key: bytes, message: str) -> bytes:
    return hmac.new(key, message.encode(), hashlib.sha256).digest()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Client(ABC):
    """What both planes have in common: transport, answers, retries, and the operations."""

    def __init__(self, endpoint: str, ca: str, access_key: str, secret_key: str) -> None:
        url = urlsplit(endpoint)
        if url.scheme != "https" or url.hostname is None:
            raise ValueError("the endpoint must look like https://HOST:PORT")
        self._host, self._port = url.hostname, url.port or 443
        self._tls = ssl.create_default_context(cafile=ca)
        self._access_key, self._secret_key = access_key, secret_key

    @abstractmethod
    def _path(self, tail: str) -> str:
        """The path of an operation on this plane."""

    @abstractmethod
    def _body(self, fields: Mapping[str, Field]) -> bytes:
        """The body in the form of this plane."""

    @abstractmethod
    def _signature(self, path: str, fields: Mapping[str, Field], body: bytes) -> Dict[str, str]:
        """The headers that sign a request."""

    def call(self, tail: str, fields: Mapping[str, Field]) -> Dict[str, Any]:
        """Calls an operation by its path without `/v1`; waits and tries again where the service asks for that.

        A repeated creation needs a `clientToken` among its fields, so that it does not create twice.
        """
        fields = {name: value for name, value in fields.items() if value is not None}
        for attempt in range(1, TRIES + 1):
            try:
                return self._call_once(tail, fields)
            except Refused as refused:
                if refused.code not in ("KMS.9050", "KMS.9071") or attempt == TRIES:
                    raise
                time.sleep(refused.retry_after or attempt)
        raise AssertionError("the last attempt returns or raises")

    def _call_once(self, tail: str, fields: Mapping[str, Field]) -> Dict[str, Any]:
        path, body = self._path(tail), self._body(fields)
        headers = {"Content-Type": "application/json", **self._signature(path, fields, body)}
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT_SECONDS, context=self._tls)
        try:
            connection.request("POST", path, body=body, headers=headers)
            response = connection.getresponse()
            answer = cast(Dict[str, Any], json.loads(response.read()))
        finally:
            connection.close()
        for holder, result in ((answer, "data"), (answer, "result"), (answer.get("returnObj") or {}, "result")):
            if holder.get("code") == 200 and result in holder:
                return cast(Dict[str, Any], holder[result])
        retry_after = response.getheader("Retry-After")
        raise Refused(
            code=str(answer.get("errorCode") or answer.get("code")),
            message=str(answer.get("message")),
            request_id=str(answer.get("requestId")),
            http_status=response.status,
            retry_after=int(retry_after) if retry_after else None,
        )

    def create_key(self, *, alias: Optional[str] = None, spec: str = "AES_256", description: str = "") -> Key:
        """Makes a key; safe to repeat."""
        fields = {"keySpec": spec, "aliasName": alias, "description": description, "clientToken": str(uuid.uuid4())}
        return cast(Key, self.call("/cmkManage/createKey", fields))

    def describe_key(self, key: str) -> Key:
        """Describes a key, named by its id or `alias/…`."""
        return cast(Key, self.call("/keyManage/describeKey", {"cmkUuid": key}))

    def disable_key(self, key: str) -> SwitchedKey:
        """Switches a key off."""
        return cast(SwitchedKey, self.call("/cmkManage/disableKey", {"cmkUuid": key}))

    def enable_key(self, key: str) -> SwitchedKey:
        """Switches a key on again."""
        return cast(SwitchedKey, self.call("/cmkManage/enableKey", {"cmkUuid": key}))

    def encrypt(self, key: str, plaintext: bytes, context: Optional[Mapping[str, str]] = None) -> Sealed:
        """Encrypts up to 6,144 bytes; who decrypts must name the same context."""
        fields: Dict[str, Field] = {"cmkUuid": key, "plaintext": _base64(plaintext), "encryptionContext": context}
        return self._sealed(self.call("/keyCompute/encrypt", fields))

    def decrypt(self, ciphertext: str, context: Optional[Mapping[str, str]] = None) -> bytes:
        """Decrypts a ciphertext or opens a data key; the ciphertext knows its key."""
        fields: Dict[str, Field] = {"ciphertextBlob": ciphertext, "encryptionContext": context}
        return base64.b64decode(self.call("/keyCompute/decrypt", fields)["plaintext"])

    def generate_data_key(
        self, key: str, size: int = 32, context: Optional[Mapping[str, str]] = None
    ) -> DataKey:
        """Makes a data key of 1 to 1,024 bytes for work on this side."""
        fields: Dict[str, Field] = {"cmkUuid": key, "numberOfBytes": size, "encryptionContext": context}
        answer = self.call("/keyCompute/generateDataKey", fields)
        return DataKey(base64.b64decode(answer["plaintext"]), self._sealed(answer))

    @staticmethod
    def _sealed(answer: Mapping[str, Any]) -> Sealed:
        return Sealed(answer["ciphertextBlob"], answer["cmkUuid"], answer["keyVersionId"])


class OpenApi(Client):
    """The OpenAPI plane: a person or a script that administers."""

    def _path(self, tail: str) -> str:
        return f"/v1{tail}"

    def _body(self, fields: Mapping[str, Field]) -> bytes:
        return json.dumps(fields).encode()

    def _signature(self, path: str, fields: Mapping[str, Field], body: bytes) -> Dict[str, str]:
        request_id, date = str(uuid.uuid4()), datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        query = ""
        text = f"ctyun-eop-request-id:{request_id}\neop-date:{date}\n\n{query}\n{hashlib.sha256(body).hexdigest()}"
        key = _hmac(_hmac(_hmac(self._secret_key.encode(), date), self._access_key), date[:8])
        signature = _base64(_hmac(key, text))
        return {
            "ctyun-eop-request-id": request_id,
            "Eop-date": date,
            "Eop-Authorization": f"{self._access_key} Headers=ctyun-eop-request-id;eop-date Signature={signature}",
        }

    def access_points(self) -> List[str]:
        """The ids of the first hundred access points."""
        page = self.call("/accessPoint/listApplicationAccessPoint", {"pageSize": 100})
        return [point["accessPointId"] for point in page["accessPoints"]]

    def create_credential(self, access_point: str) -> NewCredential:
        """Makes a credential for an application; safe to repeat."""
        fields: Dict[str, Field] = {"accessPointId": access_point, "clientToken": str(uuid.uuid4())}
        return cast(NewCredential, self.call("/userAk/createUserAk", fields))


class AccessPoint(Client):
    """The access-point plane: an application that uses the keys of its service."""

    def _path(self, tail: str) -> str:
        return tail

    def _body(self, fields: Mapping[str, Field]) -> bytes:
        return json.dumps({name: self._flat(value) for name, value in fields.items()}).encode()

    @staticmethod
    def _flat(value: Field) -> Field:
        return json.dumps(value) if isinstance(value, Mapping) else value

    def _signature(self, path: str, fields: Mapping[str, Field], body: bytes) -> Dict[str, str]:
        date = format_datetime(datetime.now(timezone.utc), usegmt=True)
        values = {"accessKey": self._access_key}
        for name, value in fields.items():
            flat = self._flat(value)
            values[name] = flat if isinstance(flat, str) else json.dumps(flat)
        content = "\n".join(values[name] for name in sorted(values, key=str.encode))
        digest = _base64(hashlib.md5(content.encode()).digest())
        signature = _base64(_hmac(self._secret_key.encode(), f"{digest}\n{date}\n{path}"))
        return {"accessKey": self._access_key, "requestDate": date, "hmac": signature}

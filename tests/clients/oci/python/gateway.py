"""A daemon, and how its callers reach it: with the SDK's own clients and signers."""

import hashlib
import pathlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import oci
from cryptography.hazmat.primitives import serialization

import keys

TENANCY = "ocid1.tenancy.oc1..main"
OTHER = "ocid1.tenancy.oc1..other"
T = TypeVar("T")


class Unsigned(oci.signer.AbstractBaseSigner):
    """Sends requests as they are."""

    def __init__(self):
        pass

    def __call__(self, request, enforce_content_headers=True):
        return request


class Count:
    """How many answers a client got, by requests' own hook: repeats that the SDK makes count too."""

    def __init__(self, client):
        self.statuses: list[int] = []
        client.base_client.session.hooks["response"].append(self.note)

    def note(self, response, **_):
        self.statuses.append(response.status_code)


@dataclass(frozen=True)
class Gateway:
    """Where it listens, whether it asks for signatures, and where the keys are."""

    address: str
    signed: bool
    keys: pathlib.Path

    def config(self, user: str, key: str | None = None, tenancy: str = TENANCY) -> dict:
        """What stands in the SDK's configuration file for a user, with their own key or another."""
        path = self.keys / f"{key or user}.pem"
        der = keys.private_key(path).public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return {
            "tenancy": tenancy,
            "user": f"ocid1.user.oc1..{user}",
            "fingerprint": hashlib.md5(der).digest().hex(":"),
            "key_file": str(path),
            "region": "us-phoenix-1",
        }

    def endpoint(self, prefix: str = "") -> str:
        return f"http://{self.address}{prefix}"

    def signer(self):
        """Alice's, where it asks for signatures."""
        return oci.Signer.from_config(self.config("alice")) if self.signed else Unsigned()

    def client(self, kind: type[T], prefix: str = "", signer=None) -> T:
        """A client of the SDK that calls this daemon, as alice unless a signer says otherwise."""
        signer = signer or self.signer()
        return kind(self.config("alice"), signer=signer, service_endpoint=self.endpoint(prefix))


def until(read: Callable[[], T], good: Callable[[T], bool], limit: float = 60.0) -> T:
    """Reads until what is read is good; for what no waiter of the SDK waits for."""
    ends = time.monotonic() + limit
    while not good(value := read()):
        assert time.monotonic() < ends, f"not within {limit} s; last: {value}"
        time.sleep(0.02)
    return value

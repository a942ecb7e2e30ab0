"""Session tokens, as instance and resource principals have them, by the SDK's own signer."""

import json
import time
import uuid

import jwt
import oci
import pytest
from oci.auth.signers import SecurityTokenSigner
from oci.exceptions import ServiceError
from oci.identity import IdentityClient

import keys
from gateway import TENANCY


@pytest.fixture
def session(signed):
    return keys.private_key(signed.keys / "session.pem")


def token(signed, session, issuer="issuer", algorithm="RS256", **claims) -> str:
    """A token of the issuer for the session's key; claims that are None are left out."""
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(session.public_key()))
    now = int(time.time())
    everything = {
        "sub": "ocid1.instance.oc1.phx.i",
        "iss": "authService.oracle.com",
        "aud": "oci",
        "tenant": TENANCY,
        "ptype": "instance",
        "ttype": "x509",
        "iat": now,
        "exp": now + 600,
        "jti": str(uuid.uuid4()),
        "jwk": json.dumps(jwk | {"kid": "session", "alg": "RS256", "use": "sig"}),
    } | claims
    payload = {name: value for name, value in everything.items() if value is not None}
    key = keys.private_key(signed.keys / f"{issuer}.pem") if algorithm == "RS256" else "secret" * 8
    return jwt.encode(payload, key, algorithm=algorithm, headers={"kid": "asw"})


def client_with(signed, token, session) -> IdentityClient:
    return signed.client(IdentityClient, signer=SecurityTokenSigner(token, session))


def test_a_session_is_let_in(signed, session, compartment):
    client = client_with(signed, token(signed, session), session)
    work_request = client.delete_compartment(compartment).headers["opc-work-request-id"]
    end = oci.wait_until(client, client.get_work_request(work_request), "status", "SUCCEEDED")
    assert end.data.compartment_id == compartment
    # It is one of the tenancy's, whoever asks.
    alice = signed.client(IdentityClient)
    assert alice.get_work_request(work_request).data.id == work_request


@pytest.mark.parametrize(
    ("why", "made", "key"),
    [
        ("expired", {"exp": 1_700_000_000}, "session"),
        ("of another issuer", {"iss": "somebody"}, "session"),
        ("for another audience", {"aud": "elsewhere"}, "session"),
        ("of an unknown tenancy", {"tenant": "ocid1.tenancy.oc1..none"}, "session"),
        ("signed by nobody known", {"issuer": "forger"}, "session"),
        ("signed by a secret", {"algorithm": "HS256"}, "session"),
        ("without a key", {"jwk": None}, "session"),
        ("used with another key", {}, "stranger"),
    ],
)
def test_a_token_that_does_not_hold_is_refused(signed, session, compartment, why, made, key):
    used = keys.private_key(signed.keys / f"{key}.pem")
    client = client_with(signed, token(signed, session, **made), used)
    with pytest.raises(ServiceError) as refused:
        client.delete_compartment(compartment)
    assert (refused.value.status, refused.value.code) == (401, "NotAuthenticated"), why
    assert signed.client(IdentityClient).list_work_requests(compartment).data == []

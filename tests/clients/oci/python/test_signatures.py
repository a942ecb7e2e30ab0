"""Requests signed with users' keys: who is let in, and what those who are not are told."""

import os
import signal
import uuid

import oci
import pytest
from oci.exceptions import ServiceError
from oci.identity import IdentityClient
from oci.identity.models import MoveCompartmentDetails

from gateway import OTHER, TENANCY, Count, Gateway, Unsigned, until


def client_of(signed: Gateway, user: str, key=None, tenancy=TENANCY, prefix="") -> IdentityClient:
    signer = oci.Signer.from_config(signed.config(user, key, tenancy))
    return signed.client(IdentityClient, prefix, signer)


def refused(client: IdentityClient, compartment: str) -> ServiceError:
    """How a deletion is refused."""
    count = Count(client)
    with pytest.raises(ServiceError) as raised:
        client.delete_compartment(compartment)
    # A refusal is final: nothing is sent again.
    assert count.statuses == [401]
    return raised.value


def test_who_is_not_known_is_told_one_thing(signed, compartment, monkeypatch):
    clients = {
        "no signature": signed.client(IdentityClient, signer=Unsigned()),
        "unknown user": client_of(signed, "mallory", "stranger"),
        "unknown key": client_of(signed, "alice", "stranger"),
        "another's key": client_of(signed, "alice", "eve"),
        "another tenancy": client_of(signed, "alice", tenancy=OTHER),
        "unknown tenancy": client_of(signed, "alice", tenancy="ocid1.tenancy.oc1..none"),
    }
    # The right fingerprint, and another private key.
    config = signed.config("alice") | {"key_file": str(signed.keys / "stranger.pem")}
    clients["forged"] = signed.client(IdentityClient, signer=oci.Signer.from_config(config))
    errors = {why: refused(client, compartment) for why, client in clients.items()}
    with monkeypatch.context() as patched:
        late = "Thu, 05 Jan 2014 21:31:40 GMT"
        patched.setattr(oci.signer.email.utils, "formatdate", lambda **_: late)
        errors["clock"] = refused(client_of(signed, "alice"), compartment)
    for why, error in errors.items():
        assert (error.status, error.code) == (401, "NotAuthenticated"), why
        assert error.request_id, why
    # Which part it was is for the log.
    assert len({error.message for error in errors.values()}) == 1
    assert client_of(signed, "alice").list_work_requests(compartment).data == []


@pytest.mark.parametrize("call", ["path", "method"])
def test_a_stranger_does_not_learn_what_there_is(signed, call):
    client = signed.client(IdentityClient, signer=Unsigned())
    with pytest.raises(ServiceError) as raised:
        client.list_regions() if call == "path" else client.delete_compartment("x")
    assert (raised.value.status, raised.value.code) == (401, "NotAuthenticated")


def test_what_another_tenant_has_is_as_if_it_were_not_there(signed, compartment):
    alice = client_of(signed, "alice")
    eve = client_of(signed, "eve", tenancy=OTHER)
    work_request = alice.delete_compartment(compartment).headers["opc-work-request-id"]
    assert alice.get_work_request(work_request).data.id == work_request
    absent = f"ocid1.identityworkrequest.oc1..{'a' * 60}"

    def told(name):
        with pytest.raises(ServiceError) as raised:
            eve.get_work_request(name)
        error = raised.value
        return error.status, error.code, error.message.replace(name, "ID")

    assert told(work_request) == told(absent)
    assert told(absent)[:2] == (404, "NotAuthorizedOrNotFound")
    assert eve.list_work_requests(compartment).data == []
    assert work_request not in [one.id for one in eve.list_work_requests(OTHER, limit=1000).data]
    # A retry token is its tenant's, too.
    details = MoveCompartmentDetails(target_compartment_id=compartment)
    token = compartment[-30:]
    ids = {
        client.move_compartment(compartment, details, opc_retry_token=token).headers[
            "opc-work-request-id"
        ]
        for client in (alice, eve)
    }
    assert len(ids) == 2


def test_the_target_is_verified_as_it_was_sent(signed, compartment):
    signer = oci.Signer.from_config(signed.config("alice"))
    # A base path with a slash too many, which is signed as it is.
    client = signed.client(IdentityClient, "/", signer)
    work_request = client.delete_compartment(compartment).headers["opc-work-request-id"]
    assert client.get_work_request(work_request).data.id == work_request
    # Escapes in the path and the query.
    odd = f"{compartment} a+b%2Fü"
    assert client.list_work_requests(odd, resource_identifier=odd).data == []
    deleted = client.delete_compartment(odd).headers["opc-work-request-id"]
    assert client.get_work_request(deleted).data.compartment_id == odd


def test_a_body_is_covered(signed, compartment):
    alice = oci.Signer.from_config(signed.config("alice"))

    class Altered(oci.signer.AbstractBaseSigner):
        """Signs, and then somebody on the way has another target in mind."""

        def __init__(self):
            pass

        def __call__(self, request, enforce_content_headers=True):
            request = alice(request, enforce_content_headers)
            request.body = request.body.replace("right", "wrong")
            return request

    client = signed.client(IdentityClient, signer=Altered())
    target = MoveCompartmentDetails(target_compartment_id="ocid1.compartment.oc1..right")
    with pytest.raises(ServiceError) as raised:
        client.move_compartment(compartment, target)
    assert (raised.value.status, raised.value.code) == (401, "NotAuthenticated")


def test_a_replaced_key_counts_after_a_hangup(signed):
    compartment = f"ocid1.compartment.oc1..{uuid.uuid4().hex}"
    before = client_of(signed, "carol")
    after = client_of(signed, "carol", "carol-next")
    assert before.list_work_requests(compartment).data == []
    refused(after, compartment)
    kept = signed.keys / "carol.pub.pem"
    first = kept.read_bytes()
    try:
        kept.write_bytes((signed.keys / "carol-next.pub.pem").read_bytes())
        os.kill(int(os.environ["OPGATE_SIGNED_PID"]), signal.SIGHUP)

        def taken():
            try:
                return after.list_work_requests(compartment).data
            except ServiceError as error:
                assert error.status == 401
                return None

        assert until(taken, lambda listed: listed is not None) == []
        refused(before, compartment)
        # A file that holds no key leaves those that count in place.
        kept.write_text("no key")
        os.kill(int(os.environ["OPGATE_SIGNED_PID"]), signal.SIGHUP)
        assert after.list_work_requests(compartment).data == []
    finally:
        kept.write_bytes(first)
        os.kill(int(os.environ["OPGATE_SIGNED_PID"]), signal.SIGHUP)

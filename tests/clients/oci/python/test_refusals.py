"""What is refused: as a ServiceError with its code, naming what was wrong, and once."""

import uuid

import circuitbreaker
import oci
import pytest
from oci.container_engine import ContainerEngineClient
from oci.exceptions import ServiceError
from oci.identity import IdentityClient
from oci.identity.models import MoveCompartmentDetails
from oci.queue import QueueAdminClient
from oci.redis import RedisClusterClient

from gateway import TENANCY, Count, until
from test_container_engine import create as create_cluster

ABSENT = f"ocid1.identityworkrequest.oc1..{'a' * 60}"


class Instead(oci.signer.AbstractBaseSigner):
    """Sends another body than the client made, signed as it is: clients make no wrong one."""

    def __init__(self, body: str, signer):
        self.body, self.signer = body, signer

    def __call__(self, request, enforce_content_headers=True):
        request.prepare_body(self.body, None)
        return self.signer(request, enforce_content_headers)


def breaker(client) -> str:
    """The state of the client's own circuit breaker."""
    name = client.base_client.circuit_breaker_strategy.name
    return circuitbreaker.CircuitBreakerMonitor.get(name).state


@pytest.mark.parametrize(
    "name", [ABSENT, "ocid1.clustersworkrequest.oc1.iad.short", "nonsense", "no%2Fslash", "ä"]
)
def test_what_is_not_there_is_not_found_whatever_it_looks_like(gateway, name):
    client = gateway.client(IdentityClient)
    count = Count(client)
    with pytest.raises(ServiceError) as absent:
        client.get_work_request(name)
    assert (absent.value.status, absent.value.code) == (404, "NotAuthorizedOrNotFound")
    assert absent.value.message
    assert absent.value.request_id
    assert count.statuses == [404]


def test_a_compartment_nobody_knows_has_an_empty_list(gateway):
    client = gateway.client(IdentityClient)
    assert client.list_work_requests(f"ocid1.compartment.oc1..{uuid.uuid4().hex}").data == []


def refused(call, *arguments, **options) -> ServiceError:
    with pytest.raises(ServiceError) as raised:
        call(*arguments, **options)
    assert raised.value.request_id
    return raised.value


def test_a_body_that_is_not_json_cannot_be_parsed(gateway, compartment):
    client = gateway.client(IdentityClient, signer=Instead("{not json", gateway.signer()))
    details = MoveCompartmentDetails(target_compartment_id=TENANCY)
    count = Count(client)
    error = refused(client.move_compartment, compartment, details)
    assert (error.status, error.code) == (400, "CannotParseRequest")
    assert count.statuses == [400]
    assert gateway.client(IdentityClient).list_work_requests(compartment).data == []


def test_filters_that_are_none_are_named(gateway, compartment):
    client = gateway.client(ContainerEngineClient)
    status = refused(client.list_work_requests, compartment, status=["DONE"])
    assert (status.status, status.code) == (400, "InvalidParameter")
    assert "status" in status.message
    none = refused(client.list_work_requests, "")
    assert none.status == 400
    assert none.code in ("MissingParameter", "InvalidParameter")
    assert "compartmentId" in none.message


def test_a_retry_token_too_long_is_named(gateway, compartment):
    client = gateway.client(IdentityClient)
    details = MoveCompartmentDetails(target_compartment_id=TENANCY)
    error = refused(client.move_compartment, compartment, details, opc_retry_token="x" * 65)
    assert (error.status, error.code) == (400, "InvalidParameter")
    assert "opc-retry-token" in error.message
    assert client.list_work_requests(compartment).data == []


def test_calls_that_are_not_there_are_not_found(gateway):
    error = refused(gateway.client(IdentityClient).list_regions)
    assert (error.status, error.code) == (404, "NotFound")
    error = refused(gateway.client(RedisClusterClient).delete_redis_cluster, "ocid1.x")
    assert (error.status, error.code) == (404, "NotFound")


def test_the_breaker_stays_closed_whatever_operations_come_to(gateway):
    client = gateway.client(IdentityClient, "/failing")
    for _ in range(12):
        compartment = f"ocid1.compartment.oc1..{uuid.uuid4().hex}"
        work_request = client.delete_compartment(compartment).headers["opc-work-request-id"]
        until(
            lambda: client.get_work_request(work_request).data.status,
            lambda status: status == "FAILED",
        )
    for _ in range(12):
        refused(client.get_work_request, ABSENT)
    assert breaker(client) == circuitbreaker.STATE_CLOSED


def test_the_breaker_stays_closed_over_conflicts(gateway, compartment):
    client = gateway.client(QueueAdminClient)
    engine = gateway.client(ContainerEngineClient)
    details = oci.queue.models.CreateQueueDetails(compartment_id=compartment, display_name="q")
    other = oci.queue.models.CreateQueueDetails(compartment_id=compartment, display_name="r")
    client.create_queue(details, opc_retry_token=compartment[-30:])
    count = Count(client)
    for _ in range(12):
        error = refused(client.create_queue, other, opc_retry_token=compartment[-30:])
        assert error.code == "InvalidatedRetryToken"
    assert count.statuses == [409] * 12
    assert breaker(client) == circuitbreaker.STATE_CLOSED
    work_request = create_cluster(engine, compartment)
    oci.wait_until(engine, engine.get_work_request(work_request), "status", "SUCCEEDED")
    for _ in range(12):
        assert refused(engine.delete_work_request, work_request).code == "Conflict"
    assert breaker(engine) == circuitbreaker.STATE_CLOSED

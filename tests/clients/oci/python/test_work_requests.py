"""The work_requests client, which reads the work requests of others, on the same host as identity."""

import oci
import pytest
from oci.identity import IdentityClient
from oci.identity.models import MoveCompartmentDetails
from oci.work_requests import WorkRequestClient


def test_it_reads_what_identity_started(gateway, compartment):
    identity = gateway.client(IdentityClient)
    target = MoveCompartmentDetails(target_compartment_id=f"{compartment}target")
    moved = identity.move_compartment(compartment, target).headers["opc-work-request-id"]
    client = gateway.client(WorkRequestClient)
    end = oci.wait_until(client, client.get_work_request(moved), "status", "SUCCEEDED").data
    # A word that identity's client does not know is itself here.
    assert end.operation_type == "MOVE_COMPARTMENT"
    assert identity.get_work_request(moved).data.operation_type == "UNKNOWN_ENUM_VALUE"
    assert (end.compartment_id, end.percent_complete) == (compartment, 100)
    assert [resource.action_type for resource in end.resources] == ["UPDATED"]
    [listed] = client.list_work_requests(compartment).data
    assert (listed.id, listed.operation_type) == (moved, "MOVE_COMPARTMENT")
    assert [one.id for one in client.list_work_requests(compartment, resource_id=compartment).data]
    assert client.list_work_requests(compartment, resource_id="another").data == []


@pytest.mark.parametrize("order", ["ASC", "DESC"])
def test_errors_and_logs_come_in_either_order(gateway, compartment, order):
    identity = gateway.client(IdentityClient, "/failing")
    work_request = identity.delete_compartment(compartment).headers["opc-work-request-id"]
    client = gateway.client(WorkRequestClient, "/failing")
    failed = oci.wait_until(client, client.get_work_request(work_request), "status", "FAILED").data
    assert failed.time_finished is not None
    # This service has no word for a resource that something failed on.
    assert failed.resources[0].action_type == "RELATED"
    [error] = client.list_work_request_errors(work_request, sort_order=order).data
    assert error.message == "the compartment is not empty"
    logs = oci.pagination.list_call_get_all_results(
        client.list_work_request_logs, work_request, sort_order=order, limit=3
    ).data
    lines = [f"step {n} of 4" for n in (1, 2, 3, 4)]
    assert [entry.message for entry in logs] == (lines if order == "ASC" else lines[::-1])

"""The identity client: its deletions and moves, and their work requests."""

import oci
import pytest
from oci.exceptions import CompositeOperationError, MaximumWaitTimeExceeded, ServiceError
from oci.identity import IdentityClient, IdentityClientCompositeOperations
from oci.identity.models import MoveCompartmentDetails

from gateway import TENANCY, Count, until

FINAL = ["SUCCEEDED", "FAILED", "CANCELED"]


def ended(client, work_request):
    """The work request once it has ended."""
    response = client.get_work_request(work_request)
    return oci.wait_until(
        client, response, evaluate_response=lambda now: now.data.status in FINAL
    ).data


def test_a_deleted_compartment_has_a_work_request_that_is_read_at_once(gateway, compartment):
    client = gateway.client(IdentityClient)
    accepted = client.delete_compartment(compartment)
    assert accepted.status == 202
    work_request = accepted.headers["opc-work-request-id"]
    assert work_request.startswith("ocid1.identityworkrequest.oc1.")
    read = client.get_work_request(work_request).data
    assert read.id == work_request
    assert read.operation_type == "DELETE_COMPARTMENT"
    assert read.compartment_id == compartment
    assert read.time_accepted.tzinfo is not None
    end = ended(client, work_request)
    assert (end.status, end.percent_complete) == ("SUCCEEDED", 100)
    assert end.time_accepted <= end.time_started <= end.time_finished
    assert end.errors == []
    assert all(entry.timestamp.tzinfo is not None for entry in end.logs)
    [resource] = end.resources
    assert (resource.action_type, resource.entity_type) == ("DELETED", "compartment")
    assert resource.identifier == compartment
    assert resource.entity_uri == f"/20160918/compartments/{compartment}"


def test_while_it_runs_it_says_so(gateway, compartment):
    client = gateway.client(IdentityClient, "/held")
    work_request = client.delete_compartment(compartment).headers["opc-work-request-id"]
    running = until(
        lambda: client.get_work_request(work_request), lambda now: now.data.status != "ACCEPTED"
    )
    assert running.data.status == "IN_PROGRESS"
    assert running.data.time_finished is None
    assert running.data.percent_complete < 100
    assert [resource.action_type for resource in running.data.resources] == ["IN_PROGRESS"]
    # Whole seconds: clients in other languages read an integer.
    assert int(running.headers["retry-after"]) >= 1
    # The same compartment again, as a repeat after a lost answer has it, is the same work request.
    again = client.delete_compartment(compartment)
    assert again.headers["opc-work-request-id"] == work_request


def test_the_composite_operation_waits_for_success(gateway, compartment):
    client = gateway.client(IdentityClient)
    waited = IdentityClientCompositeOperations(client).delete_compartment_and_wait_for_state(
        compartment, wait_for_states=["SUCCEEDED"]
    )
    assert waited.data.status == "SUCCEEDED"
    assert waited.data.resources[0].identifier == compartment


def test_the_composite_operation_ends_on_a_failure_that_it_waits_for_too(gateway, compartment):
    client = gateway.client(IdentityClient, "/failing")
    waited = IdentityClientCompositeOperations(client).delete_compartment_and_wait_for_state(
        compartment, wait_for_states=["SUCCEEDED", "FAILED"]
    )
    failed = waited.data
    assert failed.status == "FAILED"
    assert failed.time_finished is not None
    assert failed.percent_complete < 100
    [error] = failed.errors
    assert error.message == "the compartment is not empty"
    assert error.code
    assert error.timestamp.tzinfo is not None
    assert [entry.message for entry in failed.logs] == [f"step {n} of 4" for n in (1, 2, 3, 4)]
    # The word that the work requests service, on the same path, knows too.
    assert failed.resources[0].action_type == "RELATED"


def test_waiting_for_success_alone_does_not_end_on_a_failure(gateway, compartment):
    client = gateway.client(IdentityClient, "/failing")
    with pytest.raises(CompositeOperationError) as raised:
        IdentityClientCompositeOperations(client).delete_compartment_and_wait_for_state(
            compartment, wait_for_states=["SUCCEEDED"], waiter_kwargs={"max_wait_seconds": 1}
        )
    assert isinstance(raised.value.cause, MaximumWaitTimeExceeded)
    # What did work is there to go on with.
    work_request = raised.value.partial_results[0].headers["opc-work-request-id"]
    assert client.get_work_request(work_request).data.status == "FAILED"


def test_a_moved_compartment_is_moved_once_for_each_retry_token(gateway, compartment):
    client = gateway.client(IdentityClient)
    target = MoveCompartmentDetails(target_compartment_id=f"{compartment}target")

    def move(to, token):
        moved = client.move_compartment(compartment, to, opc_retry_token=token)
        return moved.headers["opc-work-request-id"]

    token = compartment[-32:]
    first = move(target, token)
    assert move(target, token) == first
    assert move(target, token + "other") != first
    # Also after its end.
    assert ended(client, first).status == "SUCCEEDED"
    assert move(target, token) == first
    count = Count(client)
    with pytest.raises(ServiceError) as refused:
        move(MoveCompartmentDetails(target_compartment_id="ocid1.compartment.oc1..x"), token)
    assert (refused.value.status, refused.value.code) == (409, "InvalidatedRetryToken")
    # It is not sent again: it would not become true.
    assert count.statuses == [409]


def test_each_call_brings_a_token_of_its_own(gateway, compartment):
    client = gateway.client(IdentityClient)
    target = MoveCompartmentDetails(target_compartment_id=TENANCY)
    moved = [client.move_compartment(compartment, target).headers for _ in range(2)]
    assert moved[0]["opc-work-request-id"] != moved[1]["opc-work-request-id"]


def test_a_list_is_of_one_compartment_and_the_newest_come_first(gateway, compartment):
    client = gateway.client(IdentityClient)
    target = MoveCompartmentDetails(target_compartment_id=TENANCY)
    moved = [
        client.move_compartment(compartment, target).headers["opc-work-request-id"]
        for _ in range(3)
    ]
    client.delete_compartment(f"{compartment}elsewhere")
    listed = client.list_work_requests(compartment)
    assert [one.id for one in listed.data] == moved[::-1]
    assert "opc-next-page" not in listed.headers
    assert {one.compartment_id for one in listed.data} == {compartment}


def test_a_list_may_be_of_one_resource(gateway, compartment):
    client = gateway.client(IdentityClient)
    work_request = client.delete_compartment(compartment).headers["opc-work-request-id"]
    of = client.list_work_requests(compartment, resource_identifier=compartment).data
    assert [one.id for one in of] == [work_request]
    assert client.list_work_requests(compartment, resource_identifier=TENANCY).data == []


def test_the_tenancy_lists_what_is_in_its_compartments(gateway, compartment):
    client = gateway.client(IdentityClient)
    work_request = client.delete_compartment(compartment).headers["opc-work-request-id"]
    listed = client.list_work_requests(TENANCY, limit=1000).data
    assert work_request in [one.id for one in listed]


def test_an_answer_is_known_by_the_request_it_answers(gateway, compartment):
    client = gateway.client(IdentityClient)
    accepted = client.delete_compartment(compartment)
    sent = accepted.request.header_params["opc-request-id"]
    assert accepted.request_id.startswith(f"{sent}/")
    with pytest.raises(ServiceError) as absent:
        client.get_work_request("ocid1.identityworkrequest.oc1..absent")
    assert "/" in absent.value.request_id

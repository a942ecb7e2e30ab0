"""The identity client's tagging work requests: objects without errors and logs, and their lists."""

import uuid

import oci
import pytest
from oci.exceptions import ServiceError
from oci.identity import IdentityClient, IdentityClientCompositeOperations

from gateway import TENANCY


@pytest.fixture
def namespace() -> str:
    return f"ocid1.tagnamespace.oc1..{uuid.uuid4().hex}"


def test_a_deleted_tag_is_waited_for(gateway, namespace):
    client = gateway.client(IdentityClient)
    accepted = client.delete_tag(namespace, "cost-center")
    assert accepted.status == 202
    work_request = accepted.headers["opc-work-request-id"]
    read = client.get_tagging_work_request(work_request)
    end = oci.wait_until(client, read, "status", "SUCCEEDED").data
    assert end.operation_type == "DELETE_TAG_DEFINITION"
    assert end.percent_complete == 100
    [resource] = end.resources
    assert (resource.action_type, resource.identifier) == ("DELETED", f"{namespace}/tags/cost-center")
    assert client.list_tagging_work_request_errors(work_request).data == []
    logs = client.list_tagging_work_request_logs(work_request).data
    assert all(entry.message and entry.timestamp.tzinfo is not None for entry in logs)


def test_the_composite_operation_waits_at_the_tagging_work_requests(gateway, namespace):
    client = gateway.client(IdentityClient)
    operations = IdentityClientCompositeOperations(client)
    waited = operations.delete_tag_and_wait_for_state(
        namespace, "cost-center", wait_for_states=["SUCCEEDED", "FAILED"]
    )
    assert waited.data.status == "SUCCEEDED"


def test_a_list_has_those_of_tags_alone(gateway, compartment, namespace):
    client = gateway.client(IdentityClient)
    client.delete_compartment(compartment)
    assert client.list_tagging_work_requests(compartment, limit=10).data == []
    work_request = client.delete_tag(namespace, "cost-center").headers["opc-work-request-id"]
    # Nothing in that call says in which compartment the namespace is: it is listed by the tenancy.
    tag = f"{namespace}/tags/cost-center"
    listed = client.list_tagging_work_requests(TENANCY, resource_identifier=tag).data
    assert [one.id for one in listed] == [work_request]
    assert listed[0].operation_type == "DELETE_TAG_DEFINITION"


def test_errors_of_a_failure_are_a_list_of_their_own(gateway, compartment):
    client = gateway.client(IdentityClient, "/failing")
    work_request = client.delete_compartment(compartment).headers["opc-work-request-id"]
    read = client.get_tagging_work_request(work_request)
    oci.wait_until(client, read, "status", "FAILED")
    [error] = client.list_tagging_work_request_errors(work_request).data
    assert error.message == "the compartment is not empty"
    first = client.list_tagging_work_request_logs(work_request, limit=3)
    rest = client.list_tagging_work_request_logs(work_request, limit=3, page=first.next_page)
    lines = [entry.message for entry in first.data + rest.data]
    assert sorted(lines) == [f"step {n} of 4" for n in (1, 2, 3, 4)]
    assert rest.next_page is None


def test_an_absent_one_is_not_found(gateway):
    client = gateway.client(IdentityClient)
    for read in (
        client.get_tagging_work_request,
        client.list_tagging_work_request_errors,
        client.list_tagging_work_request_logs,
    ):
        with pytest.raises(ServiceError) as absent:
            read("ocid1.identityworkrequest.oc1..absent")
        assert (absent.value.status, absent.value.code) == (404, "NotAuthorizedOrNotFound")

"""Filters, as Google's clients write them."""

import json

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import workflows_v1
from google.cloud.workflows_v1.services.workflows.transports import WorkflowsGrpcTransport
from google.longrunning import operations_pb2

from showcase import until

WORKFLOW = "type.googleapis.com/google.cloud.workflows.v1.OperationMetadata"


def listed(client, parent: str, filter: str) -> set[str]:
    return {operation.name for operation in client.list_operations(parent, filter)}


def told(**fields) -> list[tuple[str, str]]:
    """Metadata that tells the showcase what to do with this call."""
    return [("opgate-showcase", json.dumps(fields))]


@pytest.fixture
def started(showcase, stub, parent) -> dict[str, str]:
    """One of each kind under a parent: its names."""
    names = {
        "done": showcase.start("Echo", {"a": {"b": [1, "two"]}}, parent=parent).name,
        "failed": showcase.start(
            "Run",
            {"outcome": "failed", "code": "NOT_FOUND", "message": "no such disk"},
            parent=parent,
        ).name,
        "held": showcase.start("Run", {"hold": True}, parent=parent).name,
    }
    for kind in ("done", "failed"):
        request = operations_pb2.GetOperationRequest(name=names[kind])
        until(lambda: stub.GetOperation(request), lambda operation: operation.done)
    until(
        lambda: stub.GetOperation(operations_pb2.GetOperationRequest(name=names["held"])),
        lambda operation: b"RUNNING" in operation.metadata.value,
    )
    yield names
    stub.CancelOperation(operations_pb2.CancelOperationRequest(name=names["held"]), timeout=10)


@pytest.mark.parametrize(
    ("filter", "kinds"),
    [
        ("done=true", {"done", "failed"}),
        ("done=false", {"held"}),
        ("NOT done = true", {"held"}),
        ("error:*", {"failed"}),
        ("done=true AND -error:*", {"done"}),
        ("error.code=5", {"failed"}),
        ("error.code = NOT_FOUND", {"failed"}),
        ("error.message:disk", {"failed"}),
        ("response.a.b:two", {"done"}),
        ("metadata.state=RUNNING", {"held"}),
        ("metadata.state:(RUNNING OR FAILED)", {"held", "failed"}),
        ('metadata.create_time > "2020-01-01T00:00:00Z"', {"done", "failed", "held"}),
        ("metadata.createTime < 2020-01-01T00:00:00+02:00", set()),
        ("metadata.no_such_field != x", set()),
        ("disk", {"failed"}),
        ("done=false OR error:* AND metadata.version > 0", {"held", "failed"}),
    ],
)
def test_a_filter_gives_what_matches(client, parent, started, filter, kinds):
    assert listed(client, parent, filter) == {started[kind] for kind in kinds}


def test_a_name_is_the_whole_name(client, parent, started):
    name = started["done"]
    assert listed(client, parent, f"name={name}") == {name}
    assert listed(client, parent, f'name="*{name[-8:]}"') == {name}
    assert listed(client, parent, f"name={name[-26:]}") == set()


def test_filters_as_those_of_spanner_in_any_order(channel, client, showcase, parent):
    workflows = workflows_v1.WorkflowsClient(transport=WorkflowsGrpcTransport(channel=channel))

    def create(workflow: str, **options) -> str:
        future = workflows.create_workflow(
            parent=parent,
            workflow=workflows_v1.Workflow(source_contents="- a: 1"),
            workflow_id=workflow,
            metadata=told(**options),
            timeout=20,
        )
        return future.operation.name

    here = create("x", hold=True)
    create("y")
    showcase.start("Echo", parent=parent)
    terms = [f"(metadata.@type={WORKFLOW})", f"(name={here})", "(done=false OR error:*)"]
    assert listed(client, parent, " AND ".join(terms)) == {here}
    assert listed(client, parent, " AND ".join(reversed(terms))) == {here}
    target = f"(metadata.@type={WORKFLOW}) AND (metadata.target:{parent})"
    assert here in listed(client, parent, target)
    assert listed(client, parent, f"{target} AND (metadata.verb=nothing)") == set()
    client.cancel_operation(here)


@pytest.mark.parametrize(
    "filter",
    ["done=maybe", "(done=true", "done=", "state=RUNNING", "error.code=NO", "f(x)", "a" * 5000],
)
def test_what_is_no_filter_is_refused_by_name(client, parent, filter):
    with pytest.raises(exceptions.InvalidArgument) as refused:
        listed(client, parent, filter)
    assert "filter" in refused.value.message


def test_a_token_goes_on_with_its_own_filter_only(stub, showcase, parent):
    for _ in range(3):
        showcase.start("Echo", parent=parent)
    request = operations_pb2.ListOperationsRequest(name=parent, page_size=1, filter="name:*")
    request.page_token = stub.ListOperations(request, timeout=10).next_page_token
    assert len(stub.ListOperations(request, timeout=10).operations) == 1
    request.filter = "name : *"
    with pytest.raises(grpc.RpcError) as refused:
        stub.ListOperations(request, timeout=10)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT

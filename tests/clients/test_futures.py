"""Google's futures over typed doors: the declared types, the exceptions, cancellation."""

import asyncio
import json

import grpc
import pytest
from google.api_core import exceptions, operation, operations_v1, retry
from google.api_core.future import polling
from google.cloud import workflows_v1
from google.cloud.workflows_v1.services.workflows.transports import (
    WorkflowsGrpcAsyncIOTransport,
    WorkflowsGrpcTransport,
)
from google.identity.accesscontextmanager.v1 import access_context_manager_pb2, access_policy_pb2
from google.longrunning import operations_pb2

METHOD = "/google.identity.accesscontextmanager.v1.AccessContextManager/CreateAccessPolicy"
QUICKLY = retry.Retry(initial=0.05, maximum=0.2, timeout=20, predicate=polling.POLLING_PREDICATE)


def told(**fields) -> list[tuple[str, str]]:
    """Metadata that tells the showcase what to do with this call."""
    return [("opgate-showcase", json.dumps(fields))]


@pytest.fixture
def create_policy(channel, client):
    create = channel.unary_unary(
        METHOD,
        request_serializer=access_policy_pb2.AccessPolicy.SerializeToString,
        response_deserializer=operations_pb2.Operation.FromString,
    )

    def create_policy(title: str, metadata=()) -> operation.Operation:
        request = access_policy_pb2.AccessPolicy(parent="organizations/1", title=title)
        return operation.from_gapic(
            create(request, metadata=metadata, timeout=20),
            client,
            access_policy_pb2.AccessPolicy,
            metadata_type=access_context_manager_pb2.AccessContextManagerOperationMetadata,
            polling=QUICKLY,
        )

    return create_policy


def test_a_future_gives_the_declared_message(create_policy):
    future = create_policy("mine", told(duration="300ms", steps=3))
    assert not future.operation.done
    policy = future.result(timeout=20)
    assert isinstance(policy, access_policy_pb2.AccessPolicy)
    assert policy.title == "mine"
    metadata_type = access_context_manager_pb2.AccessContextManagerOperationMetadata
    assert isinstance(future.metadata, metadata_type)


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        (3, exceptions.InvalidArgument),
        (5, exceptions.NotFound),
        (8, exceptions.ResourceExhausted),
        (9, exceptions.FailedPrecondition),
        (13, exceptions.InternalServerError),
        (14, exceptions.ServiceUnavailable),
    ],
)
def test_a_failure_is_raised_as_the_exception_of_its_code(create_policy, code, raised):
    future = create_policy("mine", told(outcome="failed", code=code, message="as told"))
    with pytest.raises(raised, match="as told"):
        future.result(timeout=20)
    assert not future.cancelled()


def test_a_future_can_be_cancelled(create_policy):
    future = create_policy("mine", told(hold=True))
    assert future.cancel()
    with pytest.raises(exceptions.Cancelled):
        future.result(timeout=20)
    assert future.cancelled()
    assert not future.cancel()


def test_a_refused_start_is_an_error_of_the_call(create_policy, channel):
    with pytest.raises(grpc.RpcError) as refused:
        create_policy("mine", told(refuse={"kind": "PERMISSION_DENIED", "message": "no"}))
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert refused.value.details() == "no"


@pytest.fixture
def workflows(channel) -> workflows_v1.WorkflowsClient:
    return workflows_v1.WorkflowsClient(transport=WorkflowsGrpcTransport(channel=channel))


def create(client, parent: str, **options):
    workflow = workflows_v1.Workflow(description="described", source_contents="- a: 1")
    return client.create_workflow(
        parent=parent, workflow=workflow, workflow_id="flow", timeout=20, **options
    )


def test_a_gapic_client_gets_its_resource_and_its_metadata(workflows, parent):
    future = create(workflows, parent, metadata=told(duration="200ms"))
    assert future.operation.name.startswith(f"{parent}/operations/")
    workflow = future.result(timeout=20)
    assert workflow.name == f"{parent}/workflows/flow"
    assert workflow.description == "described"
    metadata = future.metadata
    assert isinstance(metadata, workflows_v1.OperationMetadata)
    assert metadata.create_time <= metadata.end_time
    assert metadata.verb


def test_a_gapic_client_lists_reads_and_deletes_operations(workflows, parent):
    future = create(workflows, parent, metadata=told(hold=True))
    name = future.operation.name
    assert workflows.get_operation({"name": name}).name == name
    listed = workflows.list_operations({"name": parent})
    assert [one.name for one in listed.operations] == [name]
    assert future.cancel()
    with pytest.raises(exceptions.Cancelled):
        future.result(timeout=20)
    workflows.delete_operation({"name": name})
    with pytest.raises(exceptions.NotFound):
        workflows.get_operation({"name": name})


def test_the_asyncio_gapic_client_gets_its_resource(http_address, parent):
    async def use():
        async with grpc.aio.insecure_channel(http_address) as channel:
            transport = WorkflowsGrpcAsyncIOTransport(channel=channel)
            client = workflows_v1.WorkflowsAsyncClient(transport=transport)
            future = await create(client, parent, metadata=told(duration="100ms"))
            return await future.result(timeout=20)

    assert asyncio.run(use()).name == f"{parent}/workflows/flow"


def test_a_future_is_resumed_by_name_alone(create_policy, client, http_address):
    name = create_policy("mine", told(duration="300ms")).operation.name
    with grpc.insecure_channel(http_address) as channel:
        other = operations_v1.OperationsClient(channel)
        future = operation.from_gapic(
            other.get_operation(name), other, access_policy_pb2.AccessPolicy, polling=QUICKLY
        )
        assert future.result(timeout=20).title == "mine"

"""Google's clients in front of a daemon whose operations another one carries out (upstream.toml)."""

import json
import os

import grpc
import pytest
from google.api_core import exceptions, operation, operations_v1, retry
from google.api_core.future import polling
from google.identity.accesscontextmanager.v1 import access_context_manager_pb2, access_policy_pb2
from google.longrunning import operations_pb2

METHOD = "/google.identity.accesscontextmanager.v1.AccessContextManager/CreateAccessPolicy"
QUICKLY = retry.Retry(initial=0.05, maximum=0.2, timeout=20, predicate=polling.POLLING_PREDICATE)


@pytest.fixture(scope="module")
def create_policy():
    with grpc.insecure_channel(os.environ["OPGATE_FRONT"]) as channel:
        create = channel.unary_unary(
            METHOD,
            request_serializer=access_policy_pb2.AccessPolicy.SerializeToString,
            response_deserializer=operations_pb2.Operation.FromString,
        )
        client = operations_v1.OperationsClient(channel)

        def create_policy(title: str, **told) -> operation.Operation:
            return operation.from_gapic(
                create(
                    access_policy_pb2.AccessPolicy(parent="organizations/1", title=title),
                    # The daemon behind does as this header says.
                    metadata=[("opgate-showcase", json.dumps(told))],
                    timeout=20,
                ),
                client,
                access_policy_pb2.AccessPolicy,
                metadata_type=access_context_manager_pb2.AccessContextManagerOperationMetadata,
                polling=QUICKLY,
            )

        yield create_policy


def test_a_future_gives_the_message_that_was_made_behind(create_policy):
    future = create_policy("mine", duration="300ms", steps=3)
    assert not future.operation.done
    policy = future.result(timeout=20)
    assert policy.title == "mine"
    # It has the name that only the daemon behind gives.
    assert policy.name.startswith("accessPolicies/")


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        ("NOT_FOUND", exceptions.NotFound),
        ("FAILED_PRECONDITION", exceptions.FailedPrecondition),
        ("ABORTED", exceptions.Aborted),
    ],
)
def test_a_failure_behind_is_raised_here_with_its_text(create_policy, code, raised):
    future = create_policy("no", duration="50ms", outcome="failed", code=code, message="why not")
    with pytest.raises(raised, match="why not"):
        future.result(timeout=20)


def test_a_cancel_is_honored_behind(create_policy):
    future = create_policy("long", hold=True)
    assert future.cancel()
    with pytest.raises(exceptions.Cancelled):
        future.result(timeout=20)
    assert future.cancelled()

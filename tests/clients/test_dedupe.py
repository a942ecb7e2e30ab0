"""The same request sent twice is one operation."""

import asyncio
import uuid

import grpc
import pytest
from google.longrunning import operations_pb2
from google.protobuf import struct_pb2
from google.rpc import error_details_pb2

from showcase import method, struct, under
from test_errors import refused


@pytest.fixture
def key() -> list[tuple[str, str]]:
    return [("idempotency-key", str(uuid.uuid4()))]


def test_a_repeat_is_the_same_operation_in_its_current_state(client, showcase, key):
    fields = {"duration": "100ms", "result": {"n": 1}}
    first = showcase.start("Run", fields, metadata=key)
    again = showcase.start("Run", fields, metadata=key)
    assert again.name == first.name
    while not client.get_operation(first.name).done:
        pass
    ended = showcase.start("Run", fields, metadata=key)
    assert (ended.name, ended.done) == (first.name, True)


def test_without_a_key_every_start_is_an_operation_of_its_own(showcase):
    assert showcase.start("Echo", {"n": 1}).name != showcase.start("Echo", {"n": 1}).name


def test_two_keys_are_refused_by_name(showcase, key):
    code, _, details = refused(lambda: showcase.start("Echo", metadata=[*key, *key]))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    bad = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad) for detail in details)
    assert [violation.field for violation in bad.field_violations] == ["idempotency-key"]


def test_a_request_id_header_is_no_key(showcase):
    same = [("x-request-id", str(uuid.uuid4()))]
    first, second = (showcase.start("Echo", {"n": 1}, metadata=same) for _ in range(2))
    assert first.name != second.name


def test_a_key_for_another_request_is_a_conflict(showcase, key):
    first = showcase.start("Echo", {"n": 1}, metadata=key)
    code, info, _ = refused(lambda: showcase.start("Echo", {"n": 2}, metadata=key))
    assert code == grpc.StatusCode.ALREADY_EXISTS
    assert info.reason == "ALREADY_EXISTS"
    code, _, _ = refused(lambda: showcase.start("Inspect", {"n": 1}, metadata=key))
    assert code == grpc.StatusCode.ALREADY_EXISTS
    assert showcase.start("Echo", {"n": 1}, metadata=key).name == first.name


def test_first_uses_at_the_same_time_are_one_operation(http_address, client, parent, key):
    async def use() -> set[str]:
        async with grpc.aio.insecure_channel(http_address) as channel:
            call = channel.unary_unary(
                method("Echo"),
                request_serializer=struct_pb2.Struct.SerializeToString,
                response_deserializer=operations_pb2.Operation.FromString,
            )
            metadata = [*under(parent), *key]
            replies = await asyncio.gather(
                *(call(struct({"n": 1}), metadata=metadata, timeout=20) for _ in range(200))
            )
            return {reply.name for reply in replies}

    names = asyncio.run(use())
    assert len(names) == 1
    assert [operation.name for operation in client.list_operations(parent, "")] == list(names)


def test_a_key_has_a_size(showcase):
    oversized = [("idempotency-key", "k" * 300)]
    code, _, _ = refused(lambda: showcase.start("Echo", metadata=oversized))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    # An empty one is none, as an empty field is.
    empty = [("idempotency-key", "")]
    assert (
        showcase.start("Echo", metadata=empty).name != showcase.start("Echo", metadata=empty).name
    )


def test_a_deleted_operations_key_does_not_start_it_again(client, showcase, key, parent):
    first = showcase.start("Echo", {"n": 1}, metadata=key, parent=parent)
    client.delete_operation(first.name)
    code, _, _ = refused(lambda: showcase.start("Echo", {"n": 2}, metadata=key, parent=parent))
    assert code == grpc.StatusCode.ALREADY_EXISTS
    assert list(client.list_operations(parent, "")) == []

"""Pages: complete, without duplicates, and with tokens that carry no authority."""

import asyncio
import base64
import json
import threading
import uuid

import grpc
import pytest
from google.api import httpbody_pb2
from google.longrunning import operations_pb2
from google.protobuf import struct_pb2

from showcase import method, under


def page(stub, parent: str, size: int = 0, token: str = "", filter: str = ""):
    request = operations_pb2.ListOperationsRequest(
        name=parent, page_size=size, page_token=token, filter=filter
    )
    return stub.ListOperations(request, timeout=20)


def refusal(call) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as refused:
        call()
    return refused.value.code()


def start_many(http_address: str, parent: str, count: int) -> list[str]:
    """Starts operations, two hundred at a time; the names in no order."""

    async def start() -> list[str]:
        async with grpc.aio.insecure_channel(http_address) as channel:
            call = channel.unary_unary(
                method("Echo"),
                request_serializer=struct_pb2.Struct.SerializeToString,
                response_deserializer=operations_pb2.Operation.FromString,
            )
            room = asyncio.Semaphore(200)

            async def one() -> str:
                async with room:
                    reply = await call(struct_pb2.Struct(), metadata=under(parent), timeout=60)
                    return reply.name

            return await asyncio.gather(*(one() for _ in range(count)))

    return asyncio.run(start())


@pytest.fixture(scope="module")
def many(http_address) -> tuple[str, list[str]]:
    """A parent with 250 operations."""
    parent = f"projects/paging/locations/{uuid.uuid4()}"
    return parent, start_many(http_address, parent, 250)


def test_a_walk_is_complete_while_operations_arrive(http_address, client, parent):
    there = set(start_many(http_address, parent, 2000))
    assert len(there) == 2000
    arriving = threading.Thread(target=start_many, args=(http_address, parent, 500))
    pages = client.list_operations(parent, "").pages
    walked = [operation.name for operation in next(pages)]
    arriving.start()
    try:
        for one in pages:
            walked.extend(operation.name for operation in one)
    finally:
        arriving.join()
    assert len(walked) == len(set(walked))
    assert there <= set(walked)
    # Those that arrived meanwhile are newer than the first page.
    assert len(walked) == 2000


def test_the_size_of_a_page_has_a_default_and_a_limit(stub, many, http_address):
    parent, names = many
    assert len(page(stub, parent).operations) == 50
    assert len(page(stub, parent, size=7).operations) == 7
    everything = page(stub, parent, size=2_000_000_000)
    assert len(everything.operations) == len(names)
    assert everything.next_page_token == ""


def test_the_size_of_a_page_may_change_on_the_way(stub, many):
    parent, names = many
    first = page(stub, parent, size=10)
    second = page(stub, parent, size=100, token=first.next_page_token)
    rest = page(stub, parent, size=1000, token=second.next_page_token)
    walked = [op.name for one in (first, second, rest) for op in one.operations]
    assert sorted(walked) == sorted(names)
    assert rest.next_page_token == ""


def test_a_negative_size_is_refused(stub, many):
    parent, _ = many
    assert refusal(lambda: page(stub, parent, size=-1)) == grpc.StatusCode.INVALID_ARGUMENT


def test_a_token_is_good_for_its_parent_and_its_filter_only(stub, many):
    parent, _ = many
    token = page(stub, parent, size=10).next_page_token
    other = "projects/paging/locations/other"
    assert refusal(lambda: page(stub, other, token=token)) == grpc.StatusCode.INVALID_ARGUMENT

    def filtered():
        return page(stub, parent, token=token, filter="done=true")

    assert refusal(filtered) == grpc.StatusCode.INVALID_ARGUMENT


def test_an_altered_token_is_refused_whatever_was_altered(stub, many):
    parent, _ = many
    token = page(stub, parent, size=10).next_page_token
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    forged = [token[:-2], token + "AAAA", "x", "a|b", "\u00e9", "A" * 5000]
    for at in range(len(raw)):
        other = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        forged.append(base64.urlsafe_b64encode(other).decode().rstrip("="))
    for wrong in forged:
        code = refusal(lambda: page(stub, parent, token=wrong))
        assert code == grpc.StatusCode.INVALID_ARGUMENT, wrong


def test_tokens_do_not_show_what_is_in_them(stub, many):
    parent, names = many
    token = page(stub, parent, size=10).next_page_token
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert b"paging" not in raw
    assert not any(name.rsplit("/", 1)[1].encode() in raw for name in names)


def test_partial_success_may_be_asked_for(stub, many):
    parent, _ = many
    request = operations_pb2.ListOperationsRequest(name=parent, return_partial_success=True)
    listed = stub.ListOperations(request, timeout=10)
    assert len(listed.operations) == 50
    assert not listed.unreachable


def test_the_pager_of_the_client_walks_all_pages(client, many):
    parent, names = many
    walked = [operation.name for operation in client.list_operations(parent, "")]
    assert sorted(walked) == sorted(names)


def test_a_result_that_grows_as_a_message_ends_no_walk(stub, showcase, parent):
    # 0.8 MB of JSON would be 4.4 MB of Struct, more than a client takes.
    zeros = [0] * 100_000
    result = {"a": zeros, "b": ["${/result/a}"] * 3}
    large = showcase.start("Run", {"result": result}, parent=parent).name
    small = showcase.start("Echo", parent=parent).name
    while not (ended := stub.GetOperation(operations_pb2.GetOperationRequest(name=large))).done:
        pass
    body = httpbody_pb2.HttpBody()
    assert ended.response.Unpack(body) and body.content_type == "application/json"
    assert json.loads(body.data) == {"a": zeros, "b": [zeros] * 3}
    assert {operation.name for operation in page(stub, parent).operations} == {large, small}

"""Get, List, Cancel, Delete through google-api-core's clients, blocking and asyncio."""

import asyncio

import grpc
import pytest
from google.api_core import exceptions, operations_v1
from google.rpc import code_pb2

from showcase import SERVICE, unpack, until


def test_a_started_operation_is_read_by_the_name_it_was_given(client, held, parent):
    assert held.name.startswith(f"{parent}/operations/")
    assert not held.done
    read = client.get_operation(held.name)
    assert read.name == held.name
    assert not read.done
    assert read.WhichOneof("result") is None


def test_a_success_carries_its_result_and_says_so_at_once(client, showcase):
    started = showcase.start("Echo", {"greeting": "hello", "n": 3})
    assert started.done
    assert started.WhichOneof("result") == "response"
    assert unpack(started.response) == {"greeting": "hello", "n": 3}
    assert client.get_operation(started.name) == started


def test_a_success_without_a_result_still_has_a_response(client, showcase):
    started = showcase.start("Sleep", {"duration": "20ms"})
    ended = until(lambda: client.get_operation(started.name), lambda operation: operation.done)
    assert ended.WhichOneof("result") == "response"
    # The declared type without a field set: a future can unpack nothing else.
    assert unpack(ended.response) == {}


def test_a_failure_is_an_outcome_and_reading_it_succeeds(client, showcase):
    # google.rpc.ErrorInfo { reason: "WHY" }, as bytes.
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "value": "CgNXSFk="}]
    started = showcase.start("Fail", {"code": 9, "message": "not now", "details": details})
    read = client.get_operation(started.name)
    assert read.done
    assert (read.error.code, read.error.message) == (9, "not now")
    assert [detail.type_url for detail in read.error.details] == [details[0]["@type"]]
    assert read.error.details[0].value == b"\x0a\x03WHY"


def test_a_list_shows_its_parent_only_and_the_newest_first(client, showcase, parent):
    names = [showcase.start("Echo", {"n": n}, parent=parent).name for n in range(5)]
    showcase.start("Echo", parent=f"{parent}-other")
    below = showcase.start("Echo", parent=f"{parent}/below").name
    listed = [operation.name for operation in client.list_operations(parent, "")]
    assert listed == [below, *reversed(names)]
    # The collection is the same list as its parent.
    assert listed == [op.name for op in client.list_operations(f"{parent}/operations", "")]


def test_an_empty_list_is_not_an_error(client, parent):
    assert list(client.list_operations(parent, "")) == []


def test_cancel_ends_a_run_as_cancelled_and_may_be_repeated(client, held):
    client.cancel_operation(held.name)
    ended = until(lambda: client.get_operation(held.name), lambda operation: operation.done)
    assert ended.error.code == code_pb2.CANCELLED
    client.cancel_operation(held.name)
    assert client.get_operation(held.name) == ended


def test_cancel_of_what_has_ended_changes_nothing(client, showcase):
    started = showcase.start("Echo", {"n": 1})
    client.cancel_operation(started.name)
    assert client.get_operation(started.name) == started


def test_a_backend_that_does_not_cancel_goes_on_to_its_own_end(client, showcase):
    fields = {"duration": "6s", "honor_cancel": False, "result": {"n": 1}}
    started = showcase.start("Run", fields)
    # Before a backend has it, a cancel ends it there and then.
    until(
        lambda: unpack(client.get_operation(started.name).metadata)["state"],
        lambda state: state == "RUNNING",
    )
    client.cancel_operation(started.name)
    assert not client.get_operation(started.name).done
    ended = until(lambda: client.get_operation(started.name), lambda operation: operation.done)
    assert unpack(ended.response) == {"n": 1}


def test_delete_hides_an_operation_for_good(client, showcase, parent):
    started = showcase.start("Echo", parent=parent)
    client.delete_operation(started.name)
    for again in (client.get_operation, client.delete_operation, client.cancel_operation):
        with pytest.raises(exceptions.NotFound):
            again(started.name)
    assert list(client.list_operations(parent, "")) == []


def test_delete_of_a_running_operation_does_not_cancel_it_in_sight(client, held, parent):
    client.delete_operation(held.name)
    with pytest.raises(exceptions.NotFound):
        client.get_operation(held.name)
    assert list(client.list_operations(parent, "")) == []


def test_the_asyncio_client_does_the_same(http_address, showcase, parent):
    async def use() -> None:
        async with grpc.aio.insecure_channel(http_address) as channel:
            client = operations_v1.OperationsAsyncClient(channel)
            started = showcase.start("Run", {"hold": True}, parent=parent)
            assert (await client.get_operation(started.name)).name == started.name
            pager = await client.list_operations(parent, "")
            assert [operation.name async for operation in pager] == [started.name]
            await client.cancel_operation(started.name)
            async with asyncio.timeout(10):
                while not (ended := await client.get_operation(started.name)).done:
                    await asyncio.sleep(0.01)
            assert ended.error.code == code_pb2.CANCELLED
            await client.delete_operation(started.name)
            with pytest.raises(exceptions.NotFound):
                await client.get_operation(started.name)

    asyncio.run(use())


def test_progress_is_visible_while_it_runs(client, showcase):
    started = showcase.start("Run", {"duration": "5s", "steps": 20})

    def reading():
        return client.get_operation(started.name)

    seen = until(reading, lambda operation: "progress" in str(operation.metadata.value))
    assert not seen.done
    percents = []
    while not (operation := reading()).done:
        percents.append(unpack(operation.metadata)["progress"]["percent"])
    assert len(set(percents)) > 3
    assert percents == sorted(percents)
    final = unpack(operation.metadata)["progress"]
    assert (final["percent"], final["done"], final["total"]) == (100, 20, 20)


def test_inspect_shows_what_the_gateway_saw(showcase, parent):
    started = showcase.start(
        "Inspect",
        {"any": "thing"},
        parent=parent,
        metadata=[
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("x-request-id", "request-1"),
        ],
    )
    seen = unpack(started.response)
    assert seen["face"] == "grpc"
    assert seen["endpoint"].strip("/") == f"{SERVICE}/Inspect"
    assert seen["kind"] == {"service": "showcase", "operation": "inspect"}
    assert seen["parent"] == parent
    assert seen["request_id"] == "request-1"
    assert seen["trace"]["parent"].startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert seen["input"]["media_type"] == "application/json"
    # How long the caller waits for its answer is no limit for the operation.
    assert seen.get("deadline") is None


@pytest.mark.parametrize("sent", ["nonsense", "00-1-2-01", f"00-{'0' * 32}-b7ad6b7169203331-01"])
def test_a_trace_that_is_none_is_not_kept(showcase, sent):
    started = showcase.start("Inspect", metadata=[("traceparent", sent)])
    assert unpack(started.response).get("trace") is None


def test_the_callers_patience_does_not_end_the_operation(client, showcase):
    # Long enough to be answered by a busy machine, and shorter than what is started.
    started = showcase.start("Run", {"duration": "6s", "result": {"n": 1}}, timeout=5)
    ended = until(lambda: client.get_operation(started.name), lambda operation: operation.done)
    assert unpack(ended.response) == {"n": 1}

"""WaitOperation: the latest state, at the end or when the time is up, never an error for that."""

import asyncio
import time

import grpc
import pytest
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import duration_pb2
from google.rpc import code_pb2

from conftest import OWN_CONNECTION
from showcase import unpack, until


def request(name: str, seconds: float | None = None) -> operations_pb2.WaitOperationRequest:
    message = operations_pb2.WaitOperationRequest(name=name)
    if seconds is not None:
        message.timeout.FromNanoseconds(int(seconds * 1e9))
    return message


def timed(call):
    began = time.monotonic()
    return call(), time.monotonic() - began


def test_a_wait_returns_when_the_operation_ends(stub, showcase):
    started = showcase.start("Run", {"duration": "400ms", "result": {"n": 1}})
    ended, took = timed(lambda: stub.WaitOperation(request(started.name, 20), timeout=30))
    assert unpack(ended.response) == {"n": 1}
    assert took < 5


def test_a_wait_without_any_limit_returns_at_the_end_too(stub, showcase):
    started = showcase.start("Sleep", {"duration": "300ms"})
    assert stub.WaitOperation(request(started.name)).done


def test_a_wait_for_what_has_ended_returns_at_once(stub, showcase):
    started = showcase.start("Echo")
    ended, took = timed(lambda: stub.WaitOperation(request(started.name, 20), timeout=30))
    assert ended == started
    assert took < 15


def test_a_reached_timeout_is_the_latest_state_and_no_error(stub, held):
    latest, took = timed(lambda: stub.WaitOperation(request(held.name, 0.4), timeout=30))
    assert (latest.name, latest.done) == (held.name, False)
    assert 0.3 < took < 5


def test_a_timeout_of_nothing_reads(stub, held):
    latest, took = timed(lambda: stub.WaitOperation(request(held.name, 0), timeout=30))
    assert not latest.done
    assert took < 15


def test_the_answer_comes_before_the_callers_own_deadline(stub, held):
    latest, took = timed(lambda: stub.WaitOperation(request(held.name, 60), timeout=10))
    assert not latest.done
    assert took < 10


def test_the_latest_state_has_the_latest_progress(stub, showcase):
    started = showcase.start("Run", {"duration": "500ms", "steps": 5, "hold": True})
    until(
        lambda: stub.WaitOperation(request(started.name, 0.2)),
        lambda latest: unpack(latest.metadata).get("progress", {}).get("done") == 5,
    )
    stub.CancelOperation(operations_pb2.CancelOperationRequest(name=started.name))


def test_a_negative_timeout_is_refused(stub, held):
    wrong = operations_pb2.WaitOperationRequest(
        name=held.name, timeout=duration_pb2.Duration(seconds=-1)
    )
    with pytest.raises(grpc.RpcError) as refused:
        stub.WaitOperation(wrong, timeout=10)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_wait_for_an_unknown_operation_is_not_found(stub):
    with pytest.raises(grpc.RpcError) as refused:
        stub.WaitOperation(request("operations/01arz3ndektsv4rrffq69g5fav", 1), timeout=10)
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_caller_that_gives_up_waiting_does_not_disturb_the_operation(stub, held):
    waiting = stub.WaitOperation.future(request(held.name, 20))
    waiting.cancel()
    latest = stub.GetOperation(operations_pb2.GetOperationRequest(name=held.name))
    assert not latest.done


def test_a_thousand_waits_end_together(http_address, showcase, parent, scrape):
    held = showcase.start("Run", {"hold": True}, parent=parent)

    def waiting() -> float:
        _, samples = scrape()
        return samples['opgate_requests_in_flight{protocol="grpc"}']

    async def use() -> float:
        channels = [
            grpc.aio.insecure_channel(http_address, options=[OWN_CONNECTION]) for _ in range(10)
        ]
        stubs = [operations_pb2_grpc.OperationsStub(channel) for channel in channels]
        waits = [
            asyncio.ensure_future(
                stubs[n % len(stubs)].WaitOperation(request(held.name, 60), timeout=90)
            )
            for n in range(1000)
        ]
        async with asyncio.timeout(60):
            while await asyncio.to_thread(waiting) < 1000:
                await asyncio.sleep(0.05)
        began = time.monotonic()
        await stubs[0].CancelOperation(operations_pb2.CancelOperationRequest(name=held.name))
        async with asyncio.timeout(60):
            ended = await asyncio.gather(*waits)
        took = time.monotonic() - began
        assert {operation.error.code for operation in ended} == {code_pb2.CANCELLED}
        assert len({operation.SerializeToString() for operation in ended}) == 1
        for channel in channels:
            await channel.close()
        return took

    took = asyncio.run(use())
    # Python takes most of it: it decodes a thousand replies in one thread.
    assert took < 30
    until(waiting, lambda count: count == 0)


def test_waits_are_counted_while_they_are_open(stub, held, scrape):
    def watchers():
        return scrape()[1]['opgate_watchers{protocol="grpc"}']

    before = watchers()
    waiting = stub.WaitOperation.future(request(held.name, 60))
    try:
        until(watchers, lambda count: count == before + 1)
    finally:
        waiting.cancel()
    until(watchers, lambda count: count == before)

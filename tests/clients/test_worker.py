"""A worker over JSON carries out what a Google client started, and the client sees how it goes.

The daemon has config/examples/worker.toml: `acme.v1.Studio/Render` goes to the queue `render`.
"""

import threading

import pytest
from google.api_core import operation as futures
from google.longrunning import operations_pb2
from google.protobuf import struct_pb2
from google.rpc import code_pb2

from showcase import struct, under, unpack
from worker import Refused, Worker


@pytest.fixture
def worker(http_address) -> Worker:
    return Worker(http_address, "render", "python")


@pytest.fixture
def render(channel, parent):
    call = channel.unary_unary(
        "/acme.v1.Studio/Render",
        request_serializer=struct_pb2.Struct.SerializeToString,
        response_deserializer=operations_pb2.Operation.FromString,
    )

    def render(**scene) -> operations_pb2.Operation:
        return call(struct(scene), metadata=under(parent), timeout=20)

    return render


def leased(worker: Worker, operation: operations_pb2.Operation) -> dict:
    [lease] = worker.lease()
    assert operation.name.endswith(lease["operation"]["id"])
    return lease


def test_a_client_sees_the_progress_and_the_result_of_a_worker(client, worker, render):
    started = render(scene="intro", frames=250)
    assert not started.done
    lease = leased(worker, started)
    # The input is JSON in the answer, as the door makes it of the request.
    assert lease["operation"]["input"]["json"] == {"scene": "intro", "frames": 250}
    assert lease["operation"]["state"] == "RUNNING"

    worker.report(lease["lease"], progress={"percent": 40, "message": "rendering"})
    seen = unpack(client.get_operation(started.name).metadata)
    assert seen["progress"]["percent"] == 40
    assert seen["progress"]["message"] == "rendering"

    worker.finish(lease["lease"], succeeded={"json": {"frames": 250}})
    ended = client.get_operation(started.name)
    assert ended.done and unpack(ended.response) == {"frames": 250}


def test_a_stock_future_waits_for_the_worker(client, worker, render):
    started = render(scene="intro")
    future = futures.from_gapic(
        started, client, result_type=struct_pb2.Struct, metadata_type=struct_pb2.Struct
    )
    thread = threading.Thread(target=lambda: worker.carry_out(leased(worker, started)))
    thread.start()
    result = future.result(timeout=20)
    thread.join()
    assert result["by"] == "python"
    assert result["input"]["scene"] == "intro"


def test_a_cancellation_reaches_the_worker_and_its_answer_the_client(client, worker, render):
    started = render(scene="long")
    lease = leased(worker, started)
    assert "cancel" not in lease["operation"]
    client.cancel_operation(started.name)
    ended = worker.carry_out(lease)
    assert ended["state"] == "CANCELED"
    assert ended["cancel"]["delivery"] == "acked"
    read = client.get_operation(started.name)
    assert read.done and read.error.code == code_pb2.CANCELLED
    assert read.error.message == "stopped at step 1"


def test_a_failure_is_the_clients_error(client, worker, render):
    started = render(scene="broken")
    lease = leased(worker, started)
    failed = {"code": "FAILED_PRECONDITION", "message": "no such scene", "reason": "NO_SCENE"}
    worker.finish(lease["lease"], failed=failed)
    read = client.get_operation(started.name)
    assert (read.error.code, read.error.message) == (9, "no such scene")


def test_what_is_given_back_is_leased_again(client, worker, render):
    started = render(scene="heavy")
    first = leased(worker, started)
    worker.release(first["lease"], message="too heavy for me")
    with pytest.raises(Refused) as refused:
        worker.report(first["lease"])
    assert refused.value.error["status"] == "FAILED_PRECONDITION"
    second = leased(worker, started)
    assert second["operation"]["epoch"] == 2
    assert "too heavy for me" in second["operation"]["log"][0]["message"]
    worker.carry_out(second)
    assert client.get_operation(started.name).done


def test_an_empty_queue_answers_with_nothing_and_one_that_is_not_there_is_refused(http_address):
    assert Worker(http_address, "render", "idle").lease(wait="0.05s") == []
    with pytest.raises(Refused) as refused:
        Worker(http_address, "nothing", "lost").lease(wait="0.05s")
    assert (refused.value.status, refused.value.error["status"]) == (404, "NOT_FOUND")


def test_a_worker_that_says_too_much_is_told_what_is_wrong(worker, render):
    for told, field in [
        ({"most": 101}, "max"),
        ({"lease": "0.5s"}, "lease"),
    ]:
        with pytest.raises(Refused) as refused:
            worker.lease(**told)
        assert refused.value.status == 400
        requests = [d for d in refused.value.error["details"] if "fieldViolations" in d]
        assert requests[0]["fieldViolations"][0]["field"] == field
    lease = leased(worker, render(scene="odd"))
    with pytest.raises(Refused):
        worker.report(lease["lease"], progress={"percent": 101})
    worker.carry_out(lease)

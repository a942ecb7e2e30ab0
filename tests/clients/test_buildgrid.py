"""BuildGrid's own command line, against a daemon with the instances `main`, `a/b` and the empty one.

The daemon is one of its own (buildgrid.toml), whose address is in OPGATE_BUILDGRID. Tests share it:
each looks for what it has started itself.
"""

import json
import os
import re
import subprocess
import uuid
from collections.abc import Iterator

import grpc
import pytest
from google.longrunning import operations_pb2, operations_pb2_grpc

from showcase import until

INSTANCES = ["main", "a/b", ""]
EXECUTE = "/build.bazel.remote.execution.v2.Execution/Execute"
ADDRESS = os.environ["OPGATE_BUILDGRID"]
HOLD = {"hold": True}


def command(group: str, instance: str | None, *arguments: str) -> list[str]:
    named = [] if instance is None else ["--instance-name", instance]
    return [os.environ["OPGATE_BGD"], group, "--remote", f"http://{ADDRESS}", *named, *arguments]


def run(*words: str | None) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*words), capture_output=True, text=True, timeout=60, check=False
    )


def said(*words: str | None) -> str:
    """What a command that ends well says."""
    ran = run(*words)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def refused(*words: str | None) -> str:
    ran = run(*words)
    assert ran.returncode != 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def grid() -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(ADDRESS) as channel:
        yield channel


@pytest.fixture(scope="module")
def operations(grid: grpc.Channel) -> operations_pb2_grpc.OperationsStub:
    return operations_pb2_grpc.OperationsStub(grid)


def field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2, len(value)]) + value


@pytest.fixture
def execute(grid: grpc.Channel):
    """Starts an execution, as the showcase is told; its name."""
    calls = []

    def execute(instance: str, fields: dict, headers: tuple = ()) -> str:
        start = grid.unary_stream(EXECUTE, response_deserializer=operations_pb2.Operation.FromString)
        digest = field(1, b"ab12") + bytes([2 << 3, 34])
        request = field(1, instance.encode()) + field(6, digest)
        call = start(request, metadata=[("opgate-showcase", json.dumps(fields)), *headers])
        calls.append(call)
        return next(call).name

    yield execute
    for call in calls:
        call.cancel()


@pytest.mark.parametrize("instance", INSTANCES)
def test_list_shows_what_runs_in_the_instance(execute, instance):
    name = execute(instance, HOLD)
    others = [execute(other, HOLD) for other in INSTANCES if other != instance]
    assert name.startswith(f"{instance}/")
    line = f"Executing: {name}: Currently running (stage=3)"
    listed = until(lambda: said("operation", instance, "list"), lambda text: line in text)
    assert not any(f" {other}:" in listed for other in others)


def test_list_hides_what_has_ended_unless_it_is_asked_for(execute):
    name = execute("main", {"result": {"exitCode": 3}})
    status = until(lambda: said("operation", "main", "status", name), lambda text: "Success" in text)
    assert "Completed with failure (stage=4, exit_code=3)" in status
    assert name not in said("operation", "main", "list")
    shown = said("operation", "main", "list", "--filter", f"name={name.split('/')[-1]}")
    assert name in shown
    assert name in said("operation", "main", "list", "--filter", "stage = completed")


def test_list_filters_by_what_the_client_said_of_itself(execute):
    invocation = str(uuid.uuid4())
    wait = ["request-dummy", "--wait-for-completion"]
    said("execute", "main", "--invocation-id", invocation, *wait)
    shown = json.loads(said("operation", "main", "list", "--json", "--filter", f"invocation_id={invocation}"))
    assert shown["metadata"]["stage"] == "COMPLETED"
    assert shown["response"]["@type"].endswith("ExecuteResponse")
    tool = f"invocation_id={invocation}&tool_name=buildgrid&queued_time>2020-01-01"
    assert shown["name"] in said("operation", "main", "list", "--filter", tool)
    nothing = said("operation", "main", "list", "--filter", f"{tool}&tool_version!=0.4.4")
    assert "No operations to list" in nothing


def test_list_goes_page_by_page_in_the_order_asked_for(execute):
    actor = f"actor-{uuid.uuid4()}"
    identity = (("x-request-actor", actor),)
    names = [execute("a/b", HOLD, identity) for _ in range(5)]
    for order, expected in [("", names[::-1]), ("&sort_order=queued_time(asc)", names)]:
        seen, token = [], []
        for _ in range(3):
            filtered = ["--filter", f"client_actor={actor}{order}", "--page-size", "2", *token]
            page = said("operation", "a/b", "list", *filtered)
            seen += re.findall(r"(?:Executing|Queued): (\S+):", page)
            following = re.search(r'--page-token "([^"]+)"', page)
            token = ["--page-token", following[1]] if following else []
        assert (seen, token) == (expected, [])


def test_list_says_where_a_filter_is_wrong():
    wrong = refused("operation", "main", "list", "--filter", "stage=QUEUED&colour=red")
    assert "column 14: `colour` is no key" in wrong
    wrong = refused("operation", "main", "list", "--filter", "sort_order=tool_name")
    assert "`tool_name` is nothing to sort by" in wrong


def test_list_of_an_unknown_instance_is_empty():
    assert "No operations to list" in said("operation", "nowhere", "list")


@pytest.mark.parametrize("instance", INSTANCES)
def test_cancel_and_status(execute, instance):
    name = execute(instance, HOLD)
    for _ in range(2):
        assert "Operation cancelled" in said("operation", instance, "cancel", name)
    status = until(lambda: said("operation", instance, "status", name), lambda text: "Fail" in text)
    assert f"Failure: {name}: the operation was canceled (code=1)" in status
    # Once more, now that it has ended; and by the id alone where there is no instance.
    assert "Operation cancelled" in said("operation", instance, "cancel", name)
    if not instance:
        assert name in said("operation", None, "status", name.strip("/"))


def test_status_of_a_failure(execute):
    name = execute("main", {"outcome": "failed", "code": "NOT_FOUND", "message": "no such blob"})
    status = until(lambda: said("operation", "main", "status", name), lambda text: "Fail" in text)
    assert f"Failure: {name}: no such blob (code=5)" in status


def test_what_is_not_there():
    for verb, instance in [("status", "main"), ("cancel", "nowhere"), ("wait", "main")]:
        name = f"{instance}/01arz3ndektsv4rrffq69g5fav"
        assert "no such operation" in refused("operation", "main", verb, name)
    assert "is no instance here" in said("execute", "nowhere", "request-dummy")


def test_wait_streams_until_it_is_done(execute):
    name = execute("main", HOLD)
    waits = command("operation", "main", "wait", name)
    with subprocess.Popen(waits, stdout=subprocess.PIPE, text=True) as waiting:
        first = waiting.stdout.readline()
        assert re.match(rf"(Executing|Queued): {name}: ", first), first
        said("operation", "main", "cancel", name)
        rest, _ = waiting.communicate(timeout=60)
        assert waiting.returncode == 0
    assert f"Failure: {name}: the operation was canceled (code=1)" in rest
    # What has ended is told at once.
    assert f"Failure: {name}" in said("operation", "main", "wait", name)


@pytest.mark.parametrize("instance", INSTANCES)
def test_execute_and_wait(instance):
    text = said("execute", instance, "request-dummy", "--number", "2", "--wait-for-completion")
    assert text.count("done: true") == 2
    assert "ExecuteResponse" in text and "Error" not in text
    names = set(re.findall(r'^name: "(\S+)"', text, re.MULTILINE))
    assert len(names) == 2 and all(name.startswith(f"{instance}/") for name in names)


def test_execute_needs_no_wait(operations):
    text = said("execute", "main", "request-dummy")
    name = re.search(r'^name: "(\S+)"', text, re.MULTILINE)[1]
    request = operations_pb2.GetOperationRequest(name=name)
    # The client has gone; the execution goes on.
    until(lambda: operations.GetOperation(request, timeout=10), lambda operation: operation.done)


def test_what_lies_in_a_cas_is_refused(tmp_path):
    assert "Uploading action" in refused("execute", "main", "command", str(tmp_path), "true")

"""Errors: the code a client expects, and an ErrorInfo in the details of every one."""

import grpc
import pytest
from google.api_core import exceptions
from google.longrunning import operations_pb2
from google.protobuf import duration_pb2
from google.rpc import code_pb2, error_details_pb2
from grpc_status import rpc_status

from showcase import method

UNKNOWN = "01arz3ndektsv4rrffq69g5fav"


def refused(call) -> tuple[grpc.StatusCode, error_details_pb2.ErrorInfo, list]:
    """The code, the ErrorInfo and all details of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error = caught.value
    status = rpc_status.from_call(error)
    assert status is not None, f"no details: {error}"
    assert (status.code, status.message) == (error.code().value[0], error.details())
    kinds = [detail.type_url for detail in status.details]
    assert len(kinds) == len(set(kinds)), "each type of detail at most once"
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details), f"no ErrorInfo in {kinds}"
    assert info.domain
    assert info.reason == info.reason.upper() and " " not in info.reason
    return error.code(), info, list(status.details)


def by_name(stub, name: str) -> list:
    """Every call that takes a name."""
    return [
        lambda: stub.GetOperation(operations_pb2.GetOperationRequest(name=name), timeout=10),
        lambda: stub.CancelOperation(operations_pb2.CancelOperationRequest(name=name), timeout=10),
        lambda: stub.DeleteOperation(operations_pb2.DeleteOperationRequest(name=name), timeout=10),
        lambda: stub.WaitOperation(
            operations_pb2.WaitOperationRequest(
                name=name, timeout=duration_pb2.Duration(seconds=1)
            ),
            timeout=10,
        ),
    ]


@pytest.mark.parametrize(
    "name",
    [
        f"operations/{UNKNOWN}",
        f"projects/p/locations/l/operations/{UNKNOWN}",
        f"instance/{UNKNOWN}",
        f"/{UNKNOWN}",
        UNKNOWN,
        "operations/not-an-id",
        "operations/",
        "projects/p/locations/l/operations/x/y",
        "operations/\u00e9\u4e2d",
        f"operations/{UNKNOWN}%2F",
    ],
)
def test_a_name_nobody_has_is_not_found(stub, name):
    for call in by_name(stub, name):
        assert refused(call)[0] == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("name", ["", "operations/" + "x" * 4096, "x" * 100_000])
def test_an_empty_or_oversized_name_is_refused_and_not_echoed(stub, name):
    for call in by_name(stub, name):
        code, _, details = refused(call)
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert sum(len(detail.value) for detail in details) < 2048


def test_an_operation_is_not_found_under_another_parent(stub, showcase, parent):
    name = showcase.start("Echo", parent=parent).name
    moved = name.replace(parent, "projects/other/locations/here")
    for call in by_name(stub, moved):
        assert refused(call)[0] == grpc.StatusCode.NOT_FOUND


def test_the_scope_of_a_list_is_bounded(stub):
    request = operations_pb2.ListOperationsRequest(name="x" * 4096)
    code, info, _ = refused(lambda: stub.ListOperations(request, timeout=10))
    assert code == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("INVALID_ARGUMENT", "INVALID_ARGUMENT"),
        ("OUT_OF_RANGE", "OUT_OF_RANGE"),
        ("UNAUTHENTICATED", "UNAUTHENTICATED"),
        ("PERMISSION_DENIED", "PERMISSION_DENIED"),
        ("NOT_FOUND", "NOT_FOUND"),
        ("ALREADY_EXISTS", "ALREADY_EXISTS"),
        ("CONFLICT", "ABORTED"),
        ("FAILED_PRECONDITION", "FAILED_PRECONDITION"),
        ("TOO_MANY_REQUESTS", "RESOURCE_EXHAUSTED"),
        ("QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED"),
        ("PAYLOAD_TOO_LARGE", "RESOURCE_EXHAUSTED"),
        ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"),
        ("UNAVAILABLE", "UNAVAILABLE"),
        ("UNSUPPORTED", "UNIMPLEMENTED"),
        ("INTERNAL", "INTERNAL"),
        ("DATA_LOSS", "DATA_LOSS"),
    ],
)
def test_every_kind_of_refusal_has_its_code(showcase, kind, code):
    fields = {"kind": kind, "message": "as told"}
    status, info, _ = refused(lambda: showcase.start("Error", fields))
    assert status.name == code
    assert info.reason == kind


def test_a_refusal_says_when_to_come_back(showcase):
    fields = {"kind": "UNAVAILABLE", "message": "as told", "retry_after": "1.5s"}
    _, _, details = refused(lambda: showcase.start("Error", fields))
    advice = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(advice) for detail in details)
    assert advice.retry_delay.ToMilliseconds() == 1500


def test_a_wrong_field_is_named(showcase):
    code, _, details = refused(lambda: showcase.start("Run", {"steps": -1}))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    bad = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad) for detail in details)
    assert [violation.field for violation in bad.field_violations] == ["steps"]
    assert "10000" in bad.field_violations[0].description


def test_google_api_core_reads_reason_and_domain(client):
    with pytest.raises(exceptions.NotFound) as caught:
        client.get_operation(f"operations/{UNKNOWN}")
    assert caught.value.reason == "NOT_FOUND"
    assert caught.value.domain


def test_a_method_nobody_listed_starts_nothing(channel, client):
    for path in (
        "/acme.v1.Nobody/Nothing",
        method("Nothing"),
        "/google.longrunning.Operations/Nothing",
        "/opgate.showcase.v1.Showcase",
    ):
        code, _, _ = refused(lambda: channel.unary_unary(path)(b"", timeout=10))
        assert code == grpc.StatusCode.UNIMPLEMENTED, path


@pytest.mark.parametrize(
    "garbage", [b"\xff\xff\xff\xff", b"\x0a\x7f", b"\x0a\x05\x0a\x01\xff\x12\x00"]
)
def test_bytes_that_are_not_the_declared_message_are_refused(channel, garbage):
    for path in (method("Run"), "/google.longrunning.Operations/GetOperation"):
        code, _, _ = refused(lambda: channel.unary_unary(path)(garbage, timeout=10))
        assert code == grpc.StatusCode.INVALID_ARGUMENT, path


def test_the_codes_of_failures_are_those_of_the_outcome(showcase):
    for code in range(1, 17):
        ended = showcase.start("Fail", {"code": code})
        assert ended.error.code == code, code_pb2.Code.Name(code)

"""What google-api-core shows, over gRPC and over REST alike."""

import json

from google.api_core import exceptions, retry
from google.api_core import operation as futures
from google.longrunning import operations_pb2
from google.protobuf import json_format, struct_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from faces.shown import PATIENCE, STATES, present

# The waits of a stock client, shorter.
POLLING = retry.Retry(
    predicate=retry.if_exception_type(Exception), initial=0.05, maximum=0.3, timeout=PATIENCE
)


def struct(fields: dict) -> struct_pb2.Struct:
    return json_format.ParseDict(fields, struct_pb2.Struct())


def unpacked(packed) -> dict:
    """The Struct in an Any, as a dict."""
    message = struct_pb2.Struct()
    assert packed.Unpack(message), f"{packed.type_url} is no Struct"
    return json_format.MessageToDict(message)


def error(status: status_pb2.Status) -> dict:
    info = error_details_pb2.ErrorInfo()
    said = [detail for detail in status.details if detail.Unpack(info)]
    retryable = info.metadata.get("retryable") if said else None
    return present(
        code=code_pb2.Code.Name(status.code),
        message=status.message,
        retryable=None if retryable is None else retryable == "true",
        details="\n".join(f"{d.type_url} {d.value.decode('latin-1')}" for d in status.details),
    )


def shown(operation: operations_pb2.Operation, result: dict | None = None) -> dict:
    metadata = unpacked(operation.metadata)
    progress = metadata.get("progress", {})
    failed = operation.done and operation.HasField("error")
    if operation.done and not failed and result is None:
        result = unpacked(operation.response)
    return present(
        name=operation.name,
        done=operation.done,
        state=STATES[metadata["state"]],
        result=result,
        error=error(operation.error) if failed else None,
        percent=progress.get("percent"),
        message=progress.get("message"),
        log=[line["message"] for line in metadata.get("log", [])],
        resources=[
            {"type": r["type"], "action": r.get("action"), "identifier": r["identifier"]}
            for r in metadata.get("resources", [])
        ],
    )


def awaited(operation: operations_pb2.Operation, refresh, cancel) -> dict:
    """By the future that a stock client gives out."""
    future = futures.Operation(
        operation,
        refresh,
        cancel,
        result_type=struct_pb2.Struct,
        metadata_type=struct_pb2.Struct,
        polling=POLLING,
    )
    try:
        result = json_format.MessageToDict(future.result(timeout=PATIENCE))
    except exceptions.GoogleAPICallError as raised:
        status = future.operation.error
        assert raised.message and status.message in raised.message, json.dumps(str(raised))
        return shown(future.operation)
    return shown(future.operation, result)

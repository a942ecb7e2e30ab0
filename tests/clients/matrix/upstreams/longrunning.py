"""A service on grpcio whose method returns google.longrunning.Operation, which is then asked for, awaited and canceled."""

import threading
import uuid
from concurrent import futures

import grpc
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from google.rpc import code_pb2, error_details_pb2

from upstreams.work import LINE, MESSAGE, PERCENT, THING, Books, Work

STATE = {
    "running": "RUNNING",
    "succeeded": "SUCCEEDED",
    "failed": "FAILED",
    "canceled": "CANCELED",
}


class Upstream(operations_pb2_grpc.OperationsServicer):
    def __init__(self, books: Books):
        self.books = books
        # By the identity of the start, and by the name that was given out for it.
        self.begun: dict[str, str] = {}
        self.work: dict[str, Work] = {}
        self.giving = threading.Lock()
        # It ends with the last reference to it.
        self.server = server = grpc.server(futures.ThreadPoolExecutor(max_workers=64))
        operations_pb2_grpc.add_OperationsServicer_to_server(self, server)
        start = grpc.unary_unary_rpc_method_handler(
            self.start,
            request_deserializer=struct_pb2.Struct.FromString,
            response_serializer=operations_pb2.Operation.SerializeToString,
        )
        service = grpc.method_handlers_generic_handler("upstream.v1.Matrix", {"Start": start})
        server.add_generic_rpc_handlers((service,))
        self.address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()

    def connect(self, http: str, amqp: str) -> None:
        """It is called, and calls nobody."""

    def start(self, request: struct_pb2.Struct, context) -> operations_pb2.Operation:
        told = dict(context.invocation_metadata())
        token = told["idempotency-key"]
        with self.giving:
            name = self.begun.setdefault(token, f"operations/{uuid.uuid4()}")
            self.work[name] = self.books.start(json_format.MessageToDict(request), token, told)
        return shown(name, self.work[name])

    def found(self, name: str, context) -> Work:
        if name not in self.work:
            context.abort(grpc.StatusCode.NOT_FOUND, "there is no such operation")
        return self.work[name]

    def GetOperation(self, request, context) -> operations_pb2.Operation:
        work = self.found(request.name, context)
        self.books.poll(work, dict(context.invocation_metadata()))
        return shown(request.name, work)

    def WaitOperation(self, request, context) -> operations_pb2.Operation:
        work = self.found(request.name, context)
        self.books.poll(work, dict(context.invocation_metadata()))
        with self.books.changed:
            over = request.timeout.ToTimedelta().total_seconds()
            self.books.changed.wait_for(lambda: work.state != "running", over)
        return shown(request.name, work)

    def CancelOperation(self, request, context) -> empty_pb2.Empty:
        told = dict(context.invocation_metadata())
        if not self.books.cancel(self.found(request.name, context), told):
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "it is not to be canceled")
        return empty_pb2.Empty()


def struct(fields: dict) -> struct_pb2.Struct:
    return json_format.ParseDict(fields, struct_pb2.Struct())


def shown(name: str, work: Work) -> operations_pb2.Operation:
    operation = operations_pb2.Operation(name=name, done=work.state != "running")
    metadata = {
        "state": STATE[work.state],
        "progress": {"percent": PERCENT, "message": MESSAGE},
        "log": [{"message": LINE}],
        "resources": [{"type": THING, "action": action(work), "identifier": work.thing}],
    }
    operation.metadata.Pack(struct(metadata))
    match work.state:
        case "succeeded":
            operation.response.Pack(struct(work.result))
        case "canceled":
            operation.error.code = code_pb2.CANCELLED
            operation.error.message = "stopped"
        case "failed":
            failed(operation.error, work.error)
    return operation


def action(work: Work) -> str:
    return "CREATED" if work.state == "succeeded" else "IN_PROGRESS"


def failed(status, error: dict) -> None:
    status.code = code_pb2.Code.Value(error["code"])
    status.message = error["message"]
    mark = error_details_pb2.LocalizedMessage(locale="en", message=error["mark"])
    status.details.add().Pack(mark)
    if error["retryable"] is not None:
        info = error_details_pb2.ErrorInfo(reason="MATRIX", domain="opgate")
        info.metadata["retryable"] = str(error["retryable"]).lower()
        status.details.add().Pack(info)

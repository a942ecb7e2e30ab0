"""google.longrunning over gRPC, by google-api-core."""

import grpc
from google.api_core import operations_v1
from google.longrunning import operations_pb2
from google.protobuf import struct_pb2

from faces.google import awaited, shown, struct
from faces.shown import PATIENCE

METHODS = {"work": "/matrix.v1.Matrix/Work", "brief": "/matrix.v1.Matrix/Brief"}


class Face:
    def connect(self, http: str, amqp: str) -> None:
        self.channel = grpc.insecure_channel(http)
        self.client = operations_v1.OperationsClient(self.channel)

    def start(self, kind: str, input: dict, key: str, trace: dict) -> dict:
        call = self.channel.unary_unary(
            METHODS[kind],
            request_serializer=struct_pb2.Struct.SerializeToString,
            response_deserializer=operations_pb2.Operation.FromString,
        )
        told = [("idempotency-key", key), *trace.items()]
        return shown(call(struct(input), metadata=told, timeout=PATIENCE))

    def read(self, name: str) -> dict:
        return shown(self.client.get_operation(name))

    def wait(self, name: str) -> dict:
        def refresh(**_) -> operations_pb2.Operation:
            return self.client.get_operation(name)

        return awaited(refresh(), refresh, lambda **_: self.client.cancel_operation(name))

    def cancel(self, name: str) -> None:
        self.client.cancel_operation(name)

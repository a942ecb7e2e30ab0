"""A worker over gRPC: it comes for operations of a queue, tells how they go, and finishes them.

    python docs/quickstart/worker.py 127.0.0.1:8080 render
"""

import json
import sys

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

WORKERS = "opgate.v1.Workers"
address, queue = sys.argv[1:]
channel = grpc.insecure_channel(address)
# The daemon describes its API. Stubs made from protocols/native/proto by protoc do as well.
service = DescriptorPool(ProtoReflectionDescriptorDatabase(channel)).FindServiceByName(WORKERS)


def call(method: str, **request):
    """One call of opgate.v1.Workers."""
    described = service.FindMethodByName(method)
    takes, gives = (message_factory.GetMessageClass(of) for of in (described.input_type, described.output_type))
    stub = channel.unary_unary(
        f"/{WORKERS}/{method}", request_serializer=takes.SerializeToString, response_deserializer=gives.FromString
    )
    return stub(json_format.ParseDict(request, takes()), wait_for_ready=True)


print(f"waiting for {queue}", flush=True)
while True:
    for lease in call("LeaseOperations", queue=queue, wait="20s", lease="30s", worker="quickstart").leases:
        scene = json.loads(lease.operation.input.data)["scene"]
        for percent in (50, 100):
            held = call("ReportLease", lease=lease.lease, progress={"percent": percent, "message": f"{scene}: {percent}"})
            if held.cancel_requested:
                call("FinishLease", lease=lease.lease, outcome={"canceled": {"message": "stopped"}})
                break
        else:
            call("FinishLease", lease=lease.lease, outcome={"succeeded": {"json": {"frames": 250}}})
        print(f"finished {scene}", flush=True)

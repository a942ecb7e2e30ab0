"""A gRPC service whose method returns google.longrunning.Operation: what opgate calls as a backend.

    python docs/quickstart/service.py 127.0.0.1:50051
"""

import sys
from concurrent import futures

import grpc
from google.cloud.workflows_v1 import CreateWorkflowRequest, OperationMetadata, Workflow
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import any_pb2, empty_pb2


def packed(message) -> any_pb2.Any:
    held = any_pb2.Any()
    held.Pack(type(message).pb(message))
    return held


class Workflows(operations_pb2_grpc.OperationsServicer):
    """Makes a workflow in as long as it takes to be looked at twice."""

    def __init__(self):
        self.operations: dict[str, operations_pb2.Operation] = {}
        self.made: dict[str, Workflow] = {}

    def create(self, request: CreateWorkflowRequest, context) -> operations_pb2.Operation:
        workflow = request.workflow
        workflow.name = f"{request.parent}/workflows/{request.workflow_id}"
        name = f"operations/{request.workflow_id}"
        if name not in self.operations:
            self.made[name] = workflow
            metadata = packed(OperationMetadata(target=workflow.name, verb="create"))
            self.operations[name] = operations_pb2.Operation(name=name, metadata=metadata)
        return self.operations[name]

    def GetOperation(self, request, context) -> operations_pb2.Operation:
        operation = self.operations.get(request.name)
        if operation is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no {request.name}")
        if not operation.done:
            operation.done = True
            operation.response.CopyFrom(packed(self.made[request.name]))
        return operation

    def CancelOperation(self, request, context) -> empty_pb2.Empty:
        return empty_pb2.Empty()


workflows = Workflows()
server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
operations_pb2_grpc.add_OperationsServicer_to_server(workflows, server)
create = grpc.unary_unary_rpc_method_handler(
    workflows.create,
    request_deserializer=CreateWorkflowRequest.deserialize,
    response_serializer=operations_pb2.Operation.SerializeToString,
)
service = grpc.method_handlers_generic_handler("google.cloud.workflows.v1.Workflows", {"CreateWorkflow": create})
server.add_generic_rpc_handlers((service,))
port = server.add_insecure_port(sys.argv[1])
server.start()
print(f"serving on 127.0.0.1:{port}", flush=True)
server.wait_for_termination()

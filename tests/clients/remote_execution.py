"""Executes one action with the published stubs of remote execution, and prints what it is told, line by line.

    remote_execution.py ADDRESS INSTANCE HASH
"""

import sys

import grpc
from buildgrid._protos.build.bazel.remote.execution.v2 import (
    remote_execution_pb2 as reapi,
    remote_execution_pb2_grpc as stubs,
)


def show(operation) -> None:
    metadata = reapi.ExecuteOperationMetadata()
    assert operation.metadata.Unpack(metadata), operation
    stage = reapi.ExecutionStage.Value.Name(metadata.stage)
    print(stage, metadata.action_digest.hash, flush=True)


def main(address: str, instance: str, digest: str) -> None:
    execution = stubs.ExecutionStub(grpc.insecure_channel(address))
    action = reapi.Digest(hash=digest, size_bytes=34)
    request = reapi.ExecuteRequest(instance_name=instance, action_digest=action)
    stream = execution.Execute(request, timeout=60)
    started = next(stream)
    print(started.name, flush=True)
    # As a client does whose connection broke: the operation goes on, and is found by its name.
    stream.cancel()
    for operation in execution.WaitExecution(reapi.WaitExecutionRequest(name=started.name), timeout=60):
        show(operation)
    response = reapi.ExecuteResponse()
    assert operation.done and operation.response.Unpack(response), operation
    print("exit", response.result.exit_code, response.result.stdout_raw.decode(), flush=True)


main(*sys.argv[1:])

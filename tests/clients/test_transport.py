"""Compression, sizes, reflection, health: what tools expect of any gRPC server."""

import grpc
import pytest
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from conftest import OWN_CONNECTION
from showcase import SERVICE, Showcase, unpack
from test_errors import refused

DOORS = {
    "google.longrunning.Operations",
    "google.cloud.workflows.v1.Workflows",
    "google.identity.accesscontextmanager.v1.AccessContextManager",
    SERVICE,
}
MEBIBYTE = 1024 * 1024


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.NoCompression])
def test_a_compressed_channel_carries_the_same(http_address, compression):
    text = "compress me " * 50_000
    with grpc.insecure_channel(http_address, compression=compression) as channel:
        started = Showcase(channel).start("Echo", {"text": text})
    assert unpack(started.response) == {"text": text}


def test_a_message_up_to_the_limit_is_carried(channel):
    text = "x" * (3 * MEBIBYTE)
    assert unpack(Showcase(channel).start("Echo", {"text": text}).response) == {"text": text}


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.NoCompression])
def test_a_message_over_the_limit_is_refused_by_its_size(http_address, compression):
    with grpc.insecure_channel(http_address, compression=compression) as channel:
        showcase = Showcase(channel)
        for mebibytes in (5, 64):
            fields = {"text": "x" * (mebibytes * MEBIBYTE)}
            code, _, _ = refused(lambda: showcase.start("Echo", fields))
            assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        # The connection is as good as before.
        assert showcase.start("Echo").done


def test_headers_of_some_kilobytes_are_taken(showcase):
    big = [(f"x-filler-{n}", "v" * 1000) for n in range(7)]
    assert showcase.start("Echo", metadata=big).done


def test_headers_beyond_the_limit_are_refused_and_the_connection_goes_on(http_address):
    with grpc.insecure_channel(http_address, options=[OWN_CONNECTION]) as channel:
        showcase = Showcase(channel)
        held = showcase.start("Run", {"hold": True})
        stub = operations_pb2_grpc.OperationsStub(channel)
        waiting = stub.WaitOperation.future(operations_pb2.WaitOperationRequest(name=held.name))
        big = [(f"x-filler-{n}", "v" * 1000) for n in range(24)]
        with pytest.raises(grpc.RpcError) as caught:
            showcase.start("Echo", metadata=big)
        # HTTP 431 has no gRPC code of its own; a client may also refuse by itself.
        assert caught.value.code() in (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            grpc.StatusCode.UNKNOWN,
            grpc.StatusCode.INTERNAL,
        )
        # The other calls of the connection did not notice.
        stub.CancelOperation(operations_pb2.CancelOperationRequest(name=held.name))
        assert waiting.result(timeout=10).done


def test_headers_without_measure_do_not_harm_the_daemon(http_address, showcase):
    with grpc.insecure_channel(http_address, options=[OWN_CONNECTION]) as channel:
        big = [(f"x-filler-{n}", "v" * 8000) for n in range(40)]
        with pytest.raises(grpc.RpcError):
            Showcase(channel).start("Echo", metadata=big)
    assert showcase.start("Echo").done


def test_reflection_of_the_older_version_finds_services_and_builds_messages(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    assert DOORS <= set(database.get_services())
    pool = descriptor_pool.DescriptorPool(database)
    operations = pool.FindServiceByName("google.longrunning.Operations")
    assert {method.name for method in operations.methods} == {
        "ListOperations",
        "GetOperation",
        "DeleteOperation",
        "CancelOperation",
        "WaitOperation",
    }
    door = pool.FindServiceByName(SERVICE)
    echo = door.FindMethodByName("Echo")
    assert echo.output_type.full_name == "google.longrunning.Operation"
    request = message_factory.GetMessageClass(echo.input_type)()
    request.fields["greeting"].string_value = "hello"
    call = channel.unary_unary(
        f"/{SERVICE}/Echo", response_deserializer=operations_pb2.Operation.FromString
    )
    reply = call(request.SerializeToString(), timeout=10)
    assert unpack(reply.response) == {"greeting": "hello"}


def test_reflection_of_the_current_version_answers_too(channel):
    # The messages of v1 and v1alpha are the same but for the package.
    ask = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    questions = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
    ]
    services, file = ask(iter(questions), timeout=10)
    assert DOORS <= {service.name for service in services.list_services_response.service}
    assert file.file_descriptor_response.file_descriptor_proto


def test_reflection_of_an_unknown_symbol_is_an_answer(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    with pytest.raises(KeyError):
        database.FindFileContainingSymbol("acme.v1.Nobody")
    assert DOORS <= set(database.get_services())


def test_the_daemon_is_healthy_as_a_whole_and_by_service(channel):
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "google.longrunning.Operations"):
        reply = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(health_pb2.HealthCheckRequest(service="acme.v1.Nobody"), timeout=10)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_health_can_be_watched(channel):
    health = health_pb2_grpc.HealthStub(channel)
    watch = health.Watch(health_pb2.HealthCheckRequest(service=""), timeout=10)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()

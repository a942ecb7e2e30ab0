"""Starting operations through the showcase doors, whose requests are JSON in a Struct."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import quote

import grpc
from google.longrunning import operations_pb2
from google.protobuf import json_format, struct_pb2

SERVICE = "opgate.showcase.v1.Showcase"
Metadata = Sequence[tuple[str, str]]
T = TypeVar("T")


def method(name: str) -> str:
    return f"/{SERVICE}/{name}"


def struct(fields: dict) -> struct_pb2.Struct:
    return json_format.ParseDict(fields, struct_pb2.Struct())


def under(parent: str | None) -> list[tuple[str, str]]:
    """The header with which Google's clients say what a request is about."""
    if parent is None:
        return []
    return [("x-goog-request-params", f"parent={quote(parent, safe='')}")]


def unpack(packed) -> dict:
    """The Struct in an Any, as a dict."""
    message = struct_pb2.Struct()
    assert packed.Unpack(message), f"{packed.type_url} is not a Struct"
    return json_format.MessageToDict(message)


def until(read: Callable[[], T], good: Callable[[T], bool], limit: float = 60.0) -> T:
    """Reads until what is read is good."""
    ends = time.monotonic() + limit
    while not good(value := read()):
        assert time.monotonic() < ends, f"not within {limit} s; last: {value}"
        time.sleep(0.01)
    return value


class Showcase:
    """The showcase's methods over one channel."""

    def __init__(self, channel: grpc.Channel):
        self.channel = channel

    def call(self, name: str) -> grpc.UnaryUnaryMultiCallable:
        return self.channel.unary_unary(
            method(name),
            request_serializer=struct_pb2.Struct.SerializeToString,
            response_deserializer=operations_pb2.Operation.FromString,
        )

    def start(
        self,
        name: str,
        fields: dict | None = None,
        parent: str | None = None,
        metadata: Metadata = (),
        timeout: float = 20,
    ) -> operations_pb2.Operation:
        call = self.call(name)
        return call(struct(fields or {}), metadata=[*under(parent), *metadata], timeout=timeout)

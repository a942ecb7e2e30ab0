"""What the tests share: the daemon's addresses, a channel, and the showcase doors.

The daemon is started by the Rust suite (tests/suite/clients.rs), which gives its addresses in the
environment: OPGATE_HTTP and OPGATE_ADMIN as host:port, OPGATE_BGD the path of BuildGrid's client,
OPGATE_BUILDGRID and OPGATE_FRONT the addresses of daemons for test_buildgrid.py and test_upstream.py.
Tests share one daemon: each lists only under a parent of its own.
"""

import os
import urllib.request
import uuid
from collections.abc import Iterator

import grpc
import pytest
from google.api_core import operations_v1
from google.longrunning import operations_pb2, operations_pb2_grpc

from rest import Rest
from showcase import Showcase

# A channel of its own for each that is opened: grpc otherwise shares connections behind our back.
OWN_CONNECTION = ("grpc.use_local_subchannel_pool", 1)


@pytest.fixture(scope="session")
def http_address() -> str:
    return os.environ["OPGATE_HTTP"]


@pytest.fixture(scope="session")
def channel(http_address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(http_address) as channel:
        yield channel


@pytest.fixture(scope="session")
def client(channel: grpc.Channel) -> operations_v1.OperationsClient:
    return operations_v1.OperationsClient(channel)


@pytest.fixture(scope="session")
def stub(channel: grpc.Channel) -> operations_pb2_grpc.OperationsStub:
    return operations_pb2_grpc.OperationsStub(channel)


@pytest.fixture(scope="session")
def showcase(channel: grpc.Channel) -> Showcase:
    return Showcase(channel)


@pytest.fixture
def parent() -> str:
    return f"projects/{uuid.uuid4()}/locations/here"


@pytest.fixture
def held(showcase: Showcase, parent: str, stub) -> Iterator[operations_pb2.Operation]:
    """An operation that runs until it is cancelled."""
    operation = showcase.start("Run", {"hold": True}, parent=parent)
    yield operation
    try:
        stub.CancelOperation(operations_pb2.CancelOperationRequest(name=operation.name), timeout=10)
    except grpc.RpcError as error:
        # The test may have deleted it.
        assert error.code() == grpc.StatusCode.NOT_FOUND


@pytest.fixture(scope="session")
def scrape():
    """Reads /metrics: the text, and the samples as {"name{labels}": value}."""
    address = os.environ["OPGATE_ADMIN"]

    def scrape() -> tuple[str, dict[str, float]]:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as reply:
            text = reply.read().decode()
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        pairs = (line.rsplit(" ", 1) for line in lines)
        return text, {name: float(value) for name, value in pairs}

    return scrape


@pytest.fixture(scope="session")
def rest(http_address: str) -> Rest:
    return Rest(http_address)

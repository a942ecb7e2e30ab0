"""What the tests share: two daemons, their addresses, and a connection to each test.

The daemons are started by the Rust suite (tests/suite/amqp/clients.rs), which gives their addresses in
the environment: OPGATE_AMQP and OPGATE_HTTP of one that whoever is on this machine may use,
OPGATE_SECURED of one with users. What is tried over TLS has another: OPGATE_TLS, and the directory
OPGATE_CERTIFICATES.
Tests share the daemons: each looks only at operations that it started.
"""

import os
from collections.abc import Iterator

import pytest
from proton.utils import BlockingConnection

from native import Native
from node import Node, connect


@pytest.fixture(scope="session")
def amqp() -> str:
    return os.environ["OPGATE_AMQP"]


@pytest.fixture(scope="session")
def secured() -> str:
    return os.environ["OPGATE_SECURED"]


@pytest.fixture(scope="session")
def native() -> Native:
    return Native(os.environ["OPGATE_HTTP"])


@pytest.fixture
def connection(amqp: str) -> Iterator[BlockingConnection]:
    connection = connect(amqp)
    yield connection
    connection.close()


@pytest.fixture
def node(connection: BlockingConnection) -> Node:
    return Node(connection)

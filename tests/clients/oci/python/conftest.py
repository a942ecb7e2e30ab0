"""What the tests share: two daemons, one that asks for signatures and one that does not.

They are started by the Rust suite (tests/suite/oci.rs), which gives their addresses in the
environment: OPGATE_OPEN and OPGATE_SIGNED as host:port, OPGATE_SIGNED_PID the process of the latter,
OPGATE_KEYS the directory that keys.py filled.
Tests share the daemons: each lists only what is in a compartment of its own.
"""

import os
import pathlib
import uuid

import pytest

from gateway import Gateway


def gateway_of(name: str) -> Gateway:
    keys = pathlib.Path(os.environ["OPGATE_KEYS"])
    return Gateway(os.environ[f"OPGATE_{name}"], signed=name == "SIGNED", keys=keys)


@pytest.fixture(scope="session", params=["OPEN", "SIGNED"])
def gateway(request) -> Gateway:
    """Either daemon: what the test says holds with signatures and without."""
    return gateway_of(request.param)


@pytest.fixture(scope="session")
def signed() -> Gateway:
    return gateway_of("SIGNED")


@pytest.fixture(scope="session")
def unsigned() -> Gateway:
    return gateway_of("OPEN")


@pytest.fixture
def compartment() -> str:
    return f"ocid1.compartment.oc1..{uuid.uuid4().hex}"

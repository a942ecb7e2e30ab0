"""HTTP over AMQP by RabbitMQ's own library for Python, unmodified.

Its `Connection` asks who made the server, and goes on with none but RabbitMQ 4; so these tests give its
management link a connection of the proton that the library brings along.
"""

from collections.abc import Iterator

import pytest
from rabbitmq_amqp_python_client import (
    ClassicQueueSpecification,
    Management,
    ValidationCodeException,
)
from rabbitmq_amqp_python_client.qpid.proton.utils import BlockingConnection

OPERATIONS = "/opgate/v1/operations"


@pytest.fixture
def management(amqp) -> Iterator[Management]:
    connection = BlockingConnection(f"amqp://{amqp}", timeout=60)
    management = Management(connection)
    management.open()
    yield management
    management.close()
    connection.close()


def start(management: Management, instruction: dict) -> str:
    body = {"route": "showcase-run", "input": {"json": instruction}}
    return management.request(body, OPERATIONS, "POST", [200]).body["id"]


def test_an_operation_lives_and_ends(management):
    identity = start(management, {"hold": True})
    path = f"{OPERATIONS}/{identity}"
    assert management.request(None, path, "GET", [200]).body["id"] == identity
    management.request(None, f"{path}:cancel", "POST", [200])
    ended = management.request(None, f"{path}:wait?timeout=60s", "GET", [200])
    assert ended.body["state"] == "CANCELED"
    assert ended.application_properties["http:response"] == "1.1"
    management.request(None, path, "DELETE", [200, 204])
    assert management.request(None, path, "GET", [404]).subject == "404"


def test_it_is_what_googles_rest_shows(management):
    identity = start(management, {"result": {"x": 1}})
    management.request(None, f"{OPERATIONS}/{identity}:wait?timeout=60s", "GET", [200])
    shown = management.request(None, f"/v1/operations/{identity}", "GET", [200]).body
    assert shown["done"] is True and shown["name"].endswith(identity)


def test_what_is_rabbits_own_is_refused_with_a_status(management):
    with pytest.raises(ValidationCodeException, match="404"):
        management.declare_queue(ClassicQueueSpecification(name="q1"))
    with pytest.raises(ValidationCodeException, match="404"):
        management.delete_queue("q1")
    # The links serve on.
    start(management, {})


def test_an_errors_text_is_the_body(management):
    refused = management.request({"route": "nothing"}, OPERATIONS, "POST", [400, 404])
    assert refused.body == "route: there is no route of this name"

"""Azure's SDKs against the port as if it were the emulator of their service: without TLS, and with
the claims that they put for each link."""

import uuid

import pytest
from azure.eventhub import EventHubConsumerClient
from azure.eventhub.exceptions import EventHubError
from azure.eventhub._pyamqp.authentication import SASLPlainAuth
from azure.eventhub._pyamqp.client import AMQPClient
from azure.eventhub._pyamqp.message import Message
from azure.servicebus import ServiceBusClient

from node import Node, plain

PASSWORD = "wonder land"


def emulator(address: str, entity: str = "", name: str = "any", key: str = "any") -> str:
    return (
        f"Endpoint=sb://{address};SharedAccessKeyName={name};SharedAccessKey={key};"
        f"UseDevelopmentEmulator=true;{entity and f'EntityPath={entity}'}"
    )


def hub(address: str, entity: str, **key) -> EventHubConsumerClient:
    return EventHubConsumerClient.from_connection_string(
        emulator(address, entity, **key), consumer_group="$Default", retry_total=0
    )


def test_a_parent_is_a_hub_whose_events_are_operations(amqp, native):
    name = f"hub-{uuid.uuid4().hex}"
    with hub(amqp, name) as client:
        shown = client.get_eventhub_properties()
        assert (shown["eventhub_name"], shown["partition_ids"]) == (name, ["0"])
        assert shown["created_at"].year >= 2026
        assert client.get_partition_properties("0")["is_empty"]
        native.start("showcase-run", parent=name)
        partition = client.get_partition_properties("0")
        assert (partition["id"], partition["is_empty"]) == ("0", False)
        assert partition["last_enqueued_sequence_number"] >= 0
        with pytest.raises(EventHubError, match="partition"):
            client.get_partition_properties("1")


def test_a_claim_makes_a_user_of_nobody(secured):
    """The key of a user signs the token, and the token is put to `$cbs`."""
    name = f"hub-{uuid.uuid4().hex}"
    alice = plain(secured, "alice", PASSWORD)
    Node(alice, f"{name}/$management").start()
    alice.close()

    def empty(**key) -> bool:
        with hub(secured, name, **key) as client:
            return client.get_partition_properties("0")["is_empty"]

    # Her tenant's operations are seen with her key only.
    assert not empty(name="alice", key=PASSWORD)
    with pytest.raises(EventHubError):
        empty(name="alice", key="wonderland")


def test_service_bus_peeks(amqp):
    """Its receiver opens a link to the queue first: one of the workers' queues."""
    with ServiceBusClient.from_connection_string(emulator(amqp), retry_total=0) as client:
        with client.get_queue_receiver("queue/peeked") as receiver:
            assert receiver.peek_messages(max_message_count=3) == []


def test_its_own_amqp_sends_requests_to_any_node(secured):
    """The client beneath both SDKs, with a password."""
    client = AMQPClient(
        secured, auth=SASLPlainAuth("alice", PASSWORD), use_tls=False, network_trace=False
    )
    client.open()
    while not client.client_ready():
        pass

    def ask(operation: str, kind: str, body=None, **properties):
        message = Message(value=body or {}, application_properties=properties)
        status, description, reply = client.mgmt_request(
            message, operation=operation, operation_type=kind, node="$management", timeout=60
        )
        return status, description, reply.value

    status, _, body = ask("run", "org.opgate.showcase", {"hold": True})
    assert status == 202
    identity = body[b"identity"].decode()
    for _ in range(50):
        status, _, read = ask("READ", "org.opgate.operation", identity=identity)
        assert status == 200 and read[b"identity"].decode() == identity
    assert ask("CANCEL", "org.opgate.operation", identity=identity)[0] == 200
    status, description, _ = ask("READ", "org.opgate.operation", identity="0" * 26)
    assert status == 404 and description
    client.close()

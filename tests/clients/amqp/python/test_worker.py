"""python-qpid-proton as a worker: operations come down a link, and its verdicts end them."""

import json
import os
import socket

import pytest
from proton import (
    UNDESCRIBED,
    Array,
    Condition,
    Data,
    Delivery,
    Message,
    Timeout,
    byte,
    char,
    float32,
    int32,
    symbol,
    timestamp,
    ubyte,
    ulong,
    ushort,
)
from proton.utils import BlockingConnection, BlockingReceiver, SyncRequestResponse

from node import PATIENCE, connect

QUEUE = "queue/paint"
# Far more than a delivery takes, and the time that passes where there must be none.
NOTHING = 0.5


def worker(connection: BlockingConnection, credit: int = 1) -> BlockingReceiver:
    return connection.create_receiver(QUEUE, credit=credit)


@pytest.fixture
def painted(native):
    """Starts operations for the workers, and leaves none behind."""
    started = []

    def start(colour: str = "blue") -> str:
        started.append(native.start("paint", input={"json": {"colour": colour}})["id"])
        return started[-1]

    yield start
    for identity in started:
        if native.get(identity)["state"] in ("ACCEPTED", "RUNNING"):
            native.cancel(identity)


def settle(receiver: BlockingReceiver, state: int) -> None:
    """Gives a verdict over the oldest message that was received.

    Proton's blocking connection sends it when it next waits for something: here for just that.
    """
    receiver.fetcher.settle(state)
    told(receiver)


def accept(receiver: BlockingReceiver) -> None:
    receiver.accept()
    told(receiver)


def told(receiver: BlockingReceiver) -> None:
    connection = receiver.connection
    connection.wait(lambda: connection.conn.transport.pending() == 0)


def body(message: Message) -> dict:
    return message.body if isinstance(message.body, dict) else json.loads(bytes(message.body))


def test_accepted_is_done(connection, native, painted):
    identity = painted("red")
    receiver = worker(connection)
    message = receiver.receive(timeout=PATIENCE)
    assert message.properties["identity"] == identity
    assert body(message) == {"colour": "red"}
    assert native.get(identity)["state"] == "RUNNING"
    accept(receiver)
    assert native.ended(identity)["state"] == "SUCCEEDED"


def test_a_result_is_sent_where_the_delivery_says(connection, native, painted):
    identity = painted()
    receiver = worker(connection)
    message = receiver.receive(timeout=PATIENCE)
    results = connection.create_sender(message.reply_to)
    results.send(Message(correlation_id=message.id, body={"painted": 3}))
    accept(receiver)
    ended = native.ended(identity)
    assert ended["state"] == "SUCCEEDED"
    assert ended["result"]["json"] == {"painted": 3}


def test_values_keep_their_types_from_one_client_to_another(connection, native):
    said = {
        "byte": byte(-7),
        "ubyte": ubyte(7),
        "int": int32(-7),
        "ulong": ulong(7),
        "float": float32(0.5),
        "char": char("ü"),
        "symbol": symbol("a"),
        "when": timestamp(1_700_000_000_123),
        "array": Array(UNDESCRIBED, Data.USHORT, ushort(1), ushort(2)),
        "list": [symbol("b"), None, {int32(1): "one"}],
    }
    node = SyncRequestResponse(connection, "$management")

    def ask(operation: str, body=None, **properties) -> Message:
        asked = {"operation": operation, "type": "org.opgate.operation", **properties}
        return node.call(Message(properties=asked, body=body))

    identity = ask("CREATE", {"route": "paint", "input": said}).body["identity"]
    receiver = worker(connection)
    message = receiver.receive(timeout=PATIENCE)
    assert typed(message.body) == typed(said)
    results = connection.create_sender(message.reply_to)
    results.send(Message(correlation_id=message.id, body=said))
    accept(receiver)
    ended = native.ended(identity)
    # Who reads JSON has what JSON can say, and is told so.
    assert (ended["result"]["json"]["int"], ended["lost"]) == (-7, ["result-values"])
    shown = ask("READ", identity=identity)
    assert typed(shown.body["result"]) == typed(said)
    assert "opgate-loss" not in shown.properties


def typed(value):
    """With the types of what is in it: numbers of several are equal."""
    if isinstance(value, dict):
        return [(typed(key), typed(item)) for key, item in value.items()]
    if isinstance(value, (list, Array)):
        items = value.elements if isinstance(value, Array) else value
        return type(value), [typed(item) for item in items]
    return type(value), value


def test_rejected_has_failed(connection, native, painted):
    identity = painted()
    receiver = worker(connection)
    receiver.receive(timeout=PATIENCE)
    delivery = receiver.fetcher.unsettled[0]
    delivery.local.condition = Condition("shop:no-paint", "there is none left")
    settle(receiver, Delivery.REJECTED)
    ended = native.ended(identity)
    assert ended["state"] == "FAILED"
    assert "there is none left" in json.dumps(ended)


def test_released_is_given_out_again(connection, painted, native):
    identity = painted()
    receiver = worker(connection)
    first = receiver.receive(timeout=PATIENCE)
    receiver.release(delivered=False)
    told(receiver)
    again = receiver.receive(timeout=PATIENCE)
    assert again.properties["identity"] == first.properties["identity"] == identity
    # It came to nobody's account.
    assert (first.delivery_count, again.delivery_count) == (0, 0)
    accept(receiver)
    assert native.ended(identity)["state"] == "SUCCEEDED"


def test_a_failed_attempt_counts(connection, painted, native):
    identity = painted()
    receiver = worker(connection)
    failed = []
    for _ in range(3):
        failed.append(receiver.receive(timeout=PATIENCE).delivery_count)
        receiver.fetcher.unsettled[0].local.failed = True
        settle(receiver, Delivery.MODIFIED)
    assert failed == [0, 1, 2]
    # The backend allows three.
    assert native.ended(identity)["state"] == "FAILED"


def test_credit_is_how_many_a_worker_has_at_once(amqp, painted):
    connection = connect(amqp)
    wanted = {painted() for _ in range(3)}
    receiver = worker(connection, credit=2)
    received = [receiver.receive(timeout=PATIENCE), receiver.receive(timeout=PATIENCE)]
    assert {message.properties["identity"] for message in received} < wanted
    accept(receiver)
    third = receiver.receive(timeout=PATIENCE)
    assert {m.properties["identity"] for m in [*received, third]} == wanted
    accept(receiver)
    accept(receiver)
    connection.close()


@pytest.mark.parametrize("lost", ["link", "connection", "socket"])
def test_what_a_lost_worker_had_is_given_to_another(amqp, connection, painted, native, lost):
    identity = painted()
    gone = connect(amqp)
    receiver = worker(gone)
    assert receiver.receive(timeout=PATIENCE).properties["identity"] == identity
    other = worker(connection)
    with pytest.raises(Timeout):
        other.receive(timeout=NOTHING)
    if lost == "link":
        receiver.close()
    elif lost == "connection":
        gone.close()
    else:
        # Without a word of AMQP.
        with socket.socket(fileno=os.dup(gone.conn.transport._selectable.fileno())) as cut:
            cut.shutdown(socket.SHUT_RDWR)
    assert other.receive(timeout=PATIENCE).properties["identity"] == identity
    accept(other)
    assert native.ended(identity)["state"] == "SUCCEEDED"


def test_workers_never_share_an_operation(amqp, painted, native):
    connections = [connect(amqp) for _ in range(3)]
    receivers = [worker(connection) for connection in connections]
    identities = {painted() for _ in range(9)}
    seen = []
    for _ in range(3):
        for receiver in receivers:
            seen.append(receiver.receive(timeout=PATIENCE).properties["identity"])
            accept(receiver)
    assert len(seen) == 9 and set(seen) == identities
    for connection in connections:
        connection.close()


def test_a_queue_that_no_route_has_is_not_found(connection):
    with pytest.raises(Exception) as refused:
        connection.create_receiver("queue/nothing")
    assert refused.value.condition == "amqp:not-found"

"""What python-qpid-proton's links, sessions and connections may do."""

import uuid

import pytest
from proton import Message, Timeout, ulong
from proton.handlers import MessagingHandler
from proton.reactor import AtLeastOnce, AtMostOnce, ReceiverOption
from proton.utils import BlockingConnection, BlockingReceiver, BlockingSender, LinkDetached

from node import OPERATION, PATIENCE, Node, connect


class Inbox(MessagingHandler):
    """Keeps what a link brings, and gives no credit by itself."""

    def __init__(self):
        super().__init__(prefetch=0)
        self.messages: list[Message] = []

    def on_message(self, event):
        self.messages.append(event.message)


class Pair:
    """A link for requests and one for replies, whose names nothing else has on their connection."""

    def __init__(self, connection: BlockingConnection, credit: int = 1, inbox=None, settling=None):
        self.replies: BlockingReceiver = connection.create_receiver(
            None, dynamic=True, credit=credit, handler=inbox, name=str(uuid.uuid4())
        )
        self.requests: BlockingSender = connection.create_sender(
            "$management", name=str(uuid.uuid4()), options=settling
        )
        self.address = self.replies.link.remote_source.address

    def send(self, identity: str, id) -> None:
        self.requests.send(read(identity, id=id, reply_to=self.address))

    def receive(self) -> Message:
        return receive(self.replies)


def receive(replies: BlockingReceiver) -> Message:
    """The next reply. What is settled already is not settled once more: the library does not look."""
    message = replies.receive(timeout=PATIENCE)
    if replies.fetcher.unsettled:
        replies.accept()
    return message


def read(identity: str, **fields) -> Message:
    properties = {"operation": "READ", "type": OPERATION, "identity": identity}
    return Message(properties=properties, **fields)


@pytest.mark.parametrize(
    "id, kind",
    [("seven", str), (ulong(7), int), (uuid.UUID(int=7), uuid.UUID), (b"\x07\x00", memoryview)],
)
def test_a_reply_has_the_requests_id_in_its_own_type(connection, id, kind):
    pair = Pair(connection)
    pair.send("none", id)
    reply = pair.receive()
    got = reply.correlation_id
    assert isinstance(got, kind) and got == id
    assert reply.properties["statusCode"] == 404


def test_a_client_names_its_reply_address_itself(amqp):
    """Two connections use the same name, as some libraries do: each gets its own replies."""

    class Named(ReceiverOption):
        def apply(self, receiver):
            receiver.target.address = "mgmt-client"

    connections = [connect(amqp), connect(amqp)]
    identities = [Node(connection).start() for connection in connections]
    replies = [
        connection.create_receiver("$management", credit=10, options=Named(), name="replies")
        for connection in connections
    ]
    for connection, identity in zip(connections, identities, strict=True):
        requests = connection.create_sender("$management", name="requests")
        requests.send(read(identity, id=identity, reply_to="mgmt-client"))
    for receiver, identity in zip(replies, identities, strict=True):
        reply = receive(receiver)
        assert (reply.correlation_id, reply.body["identity"]) == (identity, identity)
    for connection in connections:
        connection.close()


def test_a_request_may_say_itself_where_it_goes(connection):
    """A sender without an address, and messages with one."""
    assert "ANONYMOUS-RELAY" in list(connection.conn.remote_offered_capabilities)
    identity = Node(connection).start()
    pair = Pair(connection)
    relay = connection.create_sender(None)
    relay.send(read(identity, address="$management", id="1", reply_to=pair.address))
    assert pair.receive().body["identity"] == identity


@pytest.mark.parametrize("settling", [AtMostOnce(), AtLeastOnce()], ids=["settled", "unsettled"])
def test_many_requests_may_be_under_way_on_one_link(connection, settling):
    identity = Node(connection).start()
    inbox = Inbox()
    pair = Pair(connection, credit=500, inbox=inbox, settling=settling)
    link = pair.requests.link
    expected = {str(number) for number in range(300)}
    for number in sorted(expected):
        connection.wait(lambda: link.credit > 0, timeout=PATIENCE)
        link.send(read(identity, id=number, reply_to=pair.address))
    connection.wait(lambda: len(inbox.messages) == len(expected), timeout=PATIENCE)
    assert {message.correlation_id for message in inbox.messages} == expected
    assert {message.properties["statusCode"] for message in inbox.messages} == {200}


def test_a_reply_waits_for_credit(connection):
    """Others are not held up by it."""
    node = Node(connection)
    identity = node.start()
    inbox = Inbox()
    pair = Pair(connection, credit=0, inbox=inbox)
    for number in range(3):
        pair.send(identity, str(number))
    assert node.of(identity, "READ").good()["identity"] == identity
    assert inbox.messages == []
    pair.replies.link.flow(2)
    connection.wait(lambda: len(inbox.messages) == 2, timeout=PATIENCE)
    pair.replies.link.flow(1)
    connection.wait(lambda: len(inbox.messages) == 3, timeout=PATIENCE)


def test_a_message_may_take_many_frames(connection):
    text = "opgate " * 100_000
    reply = Node(connection).call("REFLECT", {"text": text}, type="com.example:mirror")
    assert reply.good()["text"] == text


def test_what_is_too_large_is_refused_and_nobody_else_suffers(connection, amqp):
    bystander, other = Node(connection), connect(amqp)
    limit = Pair(other).requests.link.remote_max_message_size
    assert 1 << 20 <= limit <= 1 << 26
    # The link is detached, or the connection closed: the library says either.
    with pytest.raises(Exception) as refused:
        Node(other).call("REFLECT", {"text": "x" * limit}, type="com.example:mirror")
    assert "size" in str(refused.value).lower(), refused.value
    bystander.start()


def test_a_link_to_nowhere_is_refused(connection):
    with pytest.raises(LinkDetached) as refused:
        connection.create_sender("nowhere", name="to")
    assert refused.value.condition == "amqp:not-found"
    with pytest.raises(LinkDetached) as refused:
        connection.create_receiver("nowhere", name="from")
    assert refused.value.condition == "amqp:not-found"
    Node(connection).start()


def test_links_come_and_go_under_one_name(connection):
    identity = Node(connection).start()
    for _ in range(20):
        replies = connection.create_receiver(None, dynamic=True, credit=1, name="replies")
        requests = connection.create_sender("$management", name="requests")
        requests.send(read(identity, id="1", reply_to=replies.link.remote_source.address))
        assert receive(replies).body["identity"] == identity
        requests.close()
        replies.close()


def test_a_connection_may_be_idle_as_long_as_it_beats(amqp):
    """The client gives opgate up after three seconds without a sign of life; here it says nothing for eight."""
    connection = connect(amqp, heartbeat=3.0)
    node = Node(connection)
    identity = node.start()
    with pytest.raises(Timeout):
        connection.wait(lambda: False, timeout=8)
    assert node.of(identity, "READ").good()["identity"] == identity
    connection.close()

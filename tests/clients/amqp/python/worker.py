"""A worker that does what it is told, and tells what happens to it: python-qpid-proton.

    worker.py ADDRESS QUEUE NAME first|second

`second`: it leaves its deliveries to be settled by opgate, and hears so. Each line of its input is a
command, each line of its output something that happened; operations go by their ids:

    credit N         takes N operations more              ready
    drain N          takes N, or what there is of them    received ID ATTEMPT, drained
    name ID          names the delivery's lease           named ID LEASE
    result ID TEXT   sends that as the result of it, or   result ID OUTCOME [CONDITION]
                     of a lease
    accept ID        and reject, release: the outcome     settled ID OUTCOME [CONDITION]
    close            ends its connection in order         closed
                     the connection was ended             lost
"""

import sys
import threading

from proton import Delivery, Link, Message
from proton.handlers import MessagingHandler
from proton.reactor import ApplicationEvent, Container, EventInjector, LinkOption

OUTCOMES = {
    "accept": Delivery.ACCEPTED,
    "reject": Delivery.REJECTED,
    "release": Delivery.RELEASED,
}
NAMES = {
    Delivery.ACCEPTED: "ACCEPTED",
    Delivery.REJECTED: "REJECTED",
    Delivery.RELEASED: "RELEASED",
    Delivery.MODIFIED: "MODIFIED",
}


class Second(LinkOption):
    def apply(self, link):
        link.rcv_settle_mode = Link.RCV_SECOND


def say(*words) -> None:
    print(*words, flush=True)


def outcome(delivery) -> str:
    """What the other side says has become of a delivery."""
    condition = delivery.remote.condition
    said = [NAMES[delivery.remote_state]] + ([condition.name] if condition else [])
    return " ".join(said)


class Worker(MessagingHandler):
    def __init__(self, address: str, queue: str, second: bool):
        super().__init__(prefetch=0, auto_accept=False)
        self.address, self.node, self.second = address, f"queue/{queue}", second
        self.held, self.ids, self.sent = {}, {}, {}
        self.drains = self.is_over = False

    def on_start(self, event):
        container = event.container
        self.injector = EventInjector()
        container.selectable(self.injector)
        self.connection = container.connect(
            f"amqp://{self.address}", reconnect=False, allowed_mechs="ANONYMOUS"
        )
        options = Second() if self.second else None
        self.receiver = container.create_receiver(self.connection, self.node, options=options)
        self.results = container.create_sender(self.connection, self.node)

    def on_link_opened(self, event):
        if event.receiver:
            say("ready")
            threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in sys.stdin:
            self.injector.trigger(ApplicationEvent("command", subject=line.split()))

    def on_command(self, event):
        command, *words = event.subject
        if command == "credit":
            self.receiver.flow(int(words[0]))
        elif command == "drain":
            self.receiver.drain(int(words[0]))
            self.drains = True
        elif command == "name":
            say("named", words[0], self.held[words[0]][1].id)
        elif command == "result":
            identity, text = words
            lease = self.held[identity][1].id if identity in self.held else identity
            message = Message(text, correlation_id=lease)
            self.sent[self.results.send(message).tag] = identity
        elif command == "close":
            self.connection.close()
        else:
            delivery, _ = self.held[words[0]]
            delivery.update(OUTCOMES[command])
            if not self.second:
                delivery.settle()
                del self.held[words[0]]

    def on_message(self, event):
        properties = event.message.properties
        identity = properties["identity"]
        self.held[identity] = event.delivery, event.message
        self.ids[event.delivery.tag] = identity
        say("received", identity, int(properties["attempt"]))

    def on_link_flow(self, event):
        if event.receiver and self.drains and not event.receiver.draining():
            self.drains = False
            say("drained")

    def on_settled(self, event):
        delivery = event.delivery
        if event.sender:
            say("result", self.sent.pop(delivery.tag), outcome(delivery))
        else:
            identity = self.ids.pop(delivery.tag)
            say("settled", identity, outcome(delivery))
            delivery.settle()
            del self.held[identity]

    def on_connection_closed(self, event):
        if not self.is_over:
            say("closed")
        self.is_over = True
        self.injector.close()

    def on_disconnected(self, event):
        if not self.is_over:
            say("lost")
        self.is_over = True
        self.injector.close()

    on_connection_error = on_transport_error = on_link_error = on_disconnected


if __name__ == "__main__":
    address, queue, name, mode = sys.argv[1:]
    container = Container(Worker(address, queue, mode == "second"))
    container.container_id = name
    container.run()

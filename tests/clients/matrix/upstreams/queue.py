"""A worker over AMQP, on python-qpid-proton: its operations come down a link, and its verdicts end them."""

import json
import threading
from dataclasses import dataclass

from proton import Condition, Delivery, Message, symbol
from proton.handlers import MessagingHandler
from proton.reactor import Container

from upstreams.work import LINE, MESSAGE, PERCENT, Books, Work

QUEUE = "queue/matrix"
CONDITIONS = {"NOT_FOUND": "amqp:not-found", "UNAVAILABLE": "com.microsoft:server-busy"}
# Between two looks at what there is to do.
PAUSE = 0.05


@dataclass
class Held:
    """A delivery that is not settled yet."""

    work: Work
    delivery: Delivery
    token: str
    asked: bool = False


class Upstream:
    address = None

    def __init__(self, books: Books):
        self.books = books

    def connect(self, http: str, amqp: str) -> None:
        worker = Worker(self.books, amqp)
        threading.Thread(target=Container(worker).run, daemon=True).start()


class Worker(MessagingHandler):
    """One connection, for as long as that lives."""

    def __init__(self, books: Books, daemon: str):
        super().__init__(prefetch=100, auto_accept=False, auto_settle=True)
        self.books, self.daemon = books, daemon
        self.held: list[Held] = []
        # Reports by the delivery that they were sent in.
        self.reports: dict[str, Held] = {}
        self.open = True

    def on_start(self, event) -> None:
        connection = event.container.connect(f"amqp://{self.daemon}", reconnect=False)
        session = connection.session()
        session.open()
        event.container.create_receiver(session, QUEUE)
        self.sender = event.container.create_sender(session, QUEUE)
        event.container.schedule(PAUSE, self)

    def on_disconnected(self, event) -> None:
        """The daemon was killed: the next connection is another's."""
        self.open = False

    def on_message(self, event) -> None:
        body = event.message.body
        input = body if isinstance(body, dict) else json.loads(bytes(body))
        properties = event.message.properties
        work = self.books.start(input, properties["identity"], properties)
        held = Held(work, event.delivery, event.message.id)
        self.held.append(held)
        self.report(held, {"percent": PERCENT, "message": MESSAGE, "log": [LINE]})

    def report(self, held: Held, told: dict) -> None:
        if held.work.state != "running" or not self.sender.credit:
            return
        report = Message(correlation_id=held.token, subject="opgate:report", body=told)
        self.reports[self.sender.send(report).tag] = held

    def on_rejected(self, event) -> None:
        """A report was not taken: a cancel is asked for, or the operation is over."""
        held = self.reports.pop(event.delivery.tag, None)
        if held and not held.asked:
            held.asked = True
            self.books.cancel(held.work)

    def on_accepted(self, event) -> None:
        self.reports.pop(event.delivery.tag, None)

    def on_timer_task(self, event) -> None:
        if not self.open:
            return
        event.container.schedule(PAUSE, self)
        going = []
        for held in self.held:
            if held.work.state == "running":
                going.append(held)
                if not held.asked:
                    self.report(held, {})
            elif held.work.state == "succeeded" and not self.sender.credit:
                # Its outcome would overtake its result.
                going.append(held)
            else:
                self.settle(held)
        self.held = going

    def settle(self, held: Held) -> None:
        work, delivery = held.work, held.delivery
        if work.state == "succeeded":
            result = Message(correlation_id=held.token, body=json.dumps(work.result).encode())
            result.content_type = symbol("application/json")
            result.inferred = True
            self.sender.send(result)
            delivery.update(Delivery.ACCEPTED)
        elif work.state == "canceled":
            delivery.local.condition = Condition("opgate:cancelled", "stopped")
            delivery.update(Delivery.REJECTED)
        else:
            error = work.error
            condition = Condition(CONDITIONS[error["code"]], error["message"])
            condition.info = {symbol("mark"): error["mark"]}
            delivery.local.condition = condition
            delivery.update(Delivery.REJECTED)
        delivery.settle()

"""A management node of AMQP's, on python-qpid-proton: work is started, read and canceled there."""

import queue
import threading
import uuid

from proton import Message, int32, symbol
from proton.handlers import MessagingHandler
from proton.reactor import Container

from upstreams.work import LINE, MESSAGE, PERCENT, THING, Books, Work

STATE = {
    "running": "RUNNING",
    "succeeded": "SUCCEEDED",
    "failed": "FAILED",
    "canceled": "CANCELED",
}


class Upstream(MessagingHandler):
    def __init__(self, books: Books):
        super().__init__()
        self.books = books
        # By the identity of the start, and by the one that was given out for it.
        self.begun: dict[str, str] = {}
        self.work: dict[str, Work] = {}
        self.replies = {}
        addresses = queue.Queue()
        self.listening = addresses.put
        threading.Thread(target=Container(self).run, daemon=True).start()
        self.address = f"amqp://127.0.0.1:{addresses.get(timeout=60)}"

    def connect(self, http: str, amqp: str) -> None:
        """It is called, and calls nobody."""

    def on_start(self, event) -> None:
        acceptor = event.container.listen("127.0.0.1:0")
        # There is no other way to learn which port it is.
        self.listening(acceptor._selectable._delegate.getsockname()[1])

    def on_link_opening(self, event) -> None:
        link = event.link
        if link.is_sender:
            address = f"replies-{uuid.uuid4()}"
            link.source.address = address
            self.replies[address] = link
        else:
            link.target.address = link.remote_target.address

    def on_link_closed(self, event) -> None:
        if event.link.is_sender:
            self.replies.pop(event.link.source.address, None)

    def on_message(self, event) -> None:
        asked = event.message
        status, body = self.answer(asked.properties, asked.body)
        said = {"statusCode": int32(status), "statusDescription": str(body)}
        if status == 409:
            said["errorCondition"] = symbol("amqp:illegal-state")
        reply = Message(properties=said, body=body)
        reply.correlation_id = asked.correlation_id if asked.id is None else asked.id
        link = self.replies.get(asked.reply_to)
        if link is not None:
            link.send(reply)

    def answer(self, properties: dict, body: dict) -> tuple[int, dict]:
        operation = properties["operation"]
        if operation == "START":
            token = properties["idempotency-key"]
            identity = self.begun.setdefault(token, str(uuid.uuid4()))
            self.work[identity] = self.books.start(body, token, properties)
            return 202, {"identity": identity}
        identity = properties["identity"]
        work = self.work[identity]
        if operation == "READ":
            self.books.poll(work, properties)
            return 200, shown(identity, work)
        assert operation == "CANCEL", operation
        if self.books.cancel(work, properties):
            return 200, shown(identity, work)
        return 409, {}


def shown(identity: str, work: Work) -> dict:
    told = {
        "identity": identity,
        "state": STATE[work.state],
        "progress": {"percent": float(PERCENT), "message": MESSAGE},
        "log": [{"message": LINE}],
        "resources": [
            {
                "entityType": THING,
                "action": "CREATED" if work.state == "succeeded" else "IN_PROGRESS",
                "identifier": work.thing,
            }
        ],
    }
    if work.state == "succeeded":
        told["result"] = work.result
    if work.state == "failed":
        told["error"] = work.error
    return told

"""A management node of an AMQP 1.0 container, which has queues to delete: what opgate calls as a backend.

    python docs/quickstart/node.py 127.0.0.1:5673
"""

import sys
import uuid

from proton import Message, int32, symbol
from proton.handlers import MessagingHandler
from proton.reactor import Container


class Node(MessagingHandler):
    def __init__(self, address: str):
        super().__init__()
        self.address = address
        self.queues = {"orders", "returns"}
        self.replies = {}

    def on_start(self, event) -> None:
        acceptor = event.container.listen(self.address)
        host, port = acceptor._selectable._delegate.getsockname()
        print(f"listening on {host}:{port}", flush=True)

    def on_link_opening(self, event) -> None:
        # Who wants replies asks for an address of its own.
        if event.link.is_sender:
            event.link.source.address = f"replies-{uuid.uuid4()}"
            self.replies[event.link.source.address] = event.link
        else:
            event.link.target.address = event.link.remote_target.address

    def on_message(self, event) -> None:
        asked = event.message
        reply = Message(properties=self.answer(asked.properties), body={}, correlation_id=asked.id)
        self.replies[asked.reply_to].send(reply)

    def answer(self, asked: dict) -> dict:
        if asked["operation"] != "DELETE":
            return {"statusCode": int32(501), "statusDescription": "it deletes, and nothing else"}
        if asked["name"] not in self.queues:
            gone = {"statusCode": int32(404), "statusDescription": f"there is no queue {asked['name']}"}
            return gone | {"errorCondition": symbol("amqp:not-found")}
        self.queues.remove(asked["name"])
        return {"statusCode": int32(204), "statusDescription": "No Content"}


Container(Node(sys.argv[1])).run()

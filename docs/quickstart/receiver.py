"""A worker over AMQP 1.0: a receiver from a queue, whose credit is how many operations it takes at a time.

    python docs/quickstart/receiver.py 127.0.0.1:5672 render
"""

import json
import sys

from proton import Message
from proton.handlers import MessagingHandler
from proton.reactor import Container


class Worker(MessagingHandler):
    def __init__(self, address: str, queue: str):
        super().__init__(prefetch=4, auto_accept=False)
        self.address, self.queue = f"amqp://{address}", f"queue/{queue}"

    def on_start(self, event) -> None:
        connection = event.container.connect(self.address, allowed_mechs="ANONYMOUS")
        event.container.create_receiver(connection, self.queue)
        self.results = event.container.create_sender(connection, self.queue)

    def on_link_opened(self, event) -> None:
        if event.receiver:
            print(f"receiving from {self.queue}", flush=True)

    def on_message(self, event) -> None:
        scene = json.loads(bytes(event.message.body))["scene"]
        result = Message(json.dumps({"rendered": scene}).encode(), correlation_id=event.message.id)
        result.content_type = "application/json"
        self.results.send(result)
        self.accept(event.delivery)


Container(Worker(*sys.argv[1:])).run()

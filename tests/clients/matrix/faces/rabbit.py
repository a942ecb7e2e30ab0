"""HTTP over AMQP, by RabbitMQ's library for Python: opgate's own API, as it asks for it.

Its `Connection` asks who made the server, and goes on with none but RabbitMQ 4; so its management link is given a
connection of the proton that it brings along.
"""

from rabbitmq_amqp_python_client import Management
from rabbitmq_amqp_python_client.qpid.proton.utils import BlockingConnection

from faces.native import details
from faces.shown import PATIENCE, record

OPERATIONS = "/opgate/v1/operations"


class Traced(BlockingConnection):
    """One whose messages are of a trace, as libraries for that make them: Management has no place to say so."""

    def __init__(self, url: str, trace: dict):
        self.trace = trace
        super().__init__(url, timeout=PATIENCE)

    def create_sender(self, *arguments, **options):
        sender = super().create_sender(*arguments, **options)
        send = sender.send

        def traced(message, *rest):
            message.application_properties = {**(message.application_properties or {}), **self.trace}
            return send(message, *rest)

        sender.send = traced
        return sender


class Face:
    def connect(self, http: str, amqp: str) -> None:
        self.address = amqp

    def ask(self, method: str, path: str = "", body: dict | None = None, trace={}) -> dict:
        """One request, over a connection of its own: it is for one thread."""
        connection = Traced(f"amqp://{self.address}", trace)
        management = Management(connection)
        try:
            management.open()
            return management.request(body, OPERATIONS + path, method, [200]).body
        finally:
            management.close()
            connection.close()

    def start(self, kind: str, input: dict, key: str, trace: dict) -> dict:
        start = {"route": kind, "input": {"json": input}, "requestId": key}
        return shown(self.ask("POST", body=start, trace=trace))

    def read(self, name: str) -> dict:
        return shown(self.ask("GET", f"/{name}"))

    def wait(self, name: str) -> dict:
        while True:
            told = shown(self.ask("GET", f"/{name}:wait?timeout=20s"))
            if told["done"]:
                return told

    def cancel(self, name: str) -> None:
        self.ask("POST", f"/{name}:cancel", {})


def shown(operation: dict) -> dict:
    error = operation.get("error")
    told = record(operation, details(error) if error else None)
    told["name"] = operation["id"]
    if operation["state"] == "SUCCEEDED":
        told["result"] = operation["result"]["json"]
    return told

"""AMQP management, by python-qpid-proton's own request-response class."""

import json

from proton import Message, int32
from proton.utils import BlockingConnection, SyncRequestResponse

from faces.shown import PATIENCE, record

OPERATION, MATRIX = "org.opgate.operation", "com.example:matrix"


class Face:
    def connect(self, http: str, amqp: str) -> None:
        self.address = amqp

    def call(self, code: int, operation: str, body=None, **properties) -> dict:
        """One request, over a connection of its own: proton's is for one thread."""
        connection = BlockingConnection(f"amqp://{self.address}", timeout=PATIENCE)
        try:
            node = SyncRequestResponse(connection, "$management")
            request = Message(properties={"operation": operation, **properties}, body=body)
            reply = node.call(request)
            status = reply.properties["statusCode"]
            assert isinstance(status, int32) and status == code, (reply.properties, reply.body)
            return reply.body
        finally:
            connection.close()

    def start(self, kind: str, input: dict, key: str, trace: dict) -> dict:
        told = {"opgate-request-id": key, **trace}
        return shown(self.call(202, kind, input, type=MATRIX, **told))

    def read(self, name: str) -> dict:
        return shown(self.call(200, "READ", type=OPERATION, identity=name))

    def wait(self, name: str) -> dict:
        while True:
            told = shown(self.call(200, "WAIT", type=OPERATION, identity=name))
            if told["done"]:
                return told

    def cancel(self, name: str) -> None:
        self.call(200, "CANCEL", type=OPERATION, identity=name)


def shown(operation: dict) -> dict:
    error = operation.get("error")
    details = operation.get("errorDetails")
    told = record(operation, json.dumps(details, default=text) if error else None)
    told["name"] = operation["identity"]
    if operation["state"] == "SUCCEEDED":
        # The reply to a start has none, also to a repeated one.
        told["result"] = operation.get("result")
    return told


def text(value) -> str:
    """What JSON has no word for."""
    return bytes(value).decode("latin-1")

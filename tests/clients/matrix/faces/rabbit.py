"""HTTP over AMQP, by RabbitMQ's library for Python: opgate's own API, as it asks for it.

Its `Connection` asks who made the server, and goes on with none but RabbitMQ 4; so its management link is given a
connection of the proton that it brings along.
"""

from rabbitmq_amqp_python_client import Management
from rabbitmq_amqp_python_client.qpid.proton.utils import BlockingConnection

from faces.native import details
from faces.shown import PATIENCE, record

OPERATIONS = "/opgate/v1/operations"


class Face:
    def connect(self, http: str, amqp: str) -> None:
        self.address = amqp

    def ask(self, method: str, path: str = "", body: dict | None = None) -> dict:
        """One request, over a connection of its own: it is for one thread."""
        connection = BlockingConnection(f"amqp://{self.address}", timeout=PATIENCE)
        management = Management(connection)
        try:
            management.open()
            return management.request(body, OPERATIONS + path, method, [200]).body
        finally:
            management.close()
            connection.close()

    def start(self, kind: str, input: dict, key: str) -> dict:
        start = {"route": kind, "input": {"json": input}, "requestId": key}
        return shown(self.ask("POST", body=start))

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

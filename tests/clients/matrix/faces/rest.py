"""google.longrunning over REST, by google-api-core; starts by google-auth's session."""

from google.api_core import operations_v1
from google.api_core.operations_v1.transports.rest import OperationsRestTransport
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from google.longrunning import operations_pb2
from google.protobuf import json_format

from faces.google import awaited, shown
from faces.shown import PATIENCE

OPERATIONS = "google.longrunning.Operations"
# The client's own rules ask for names with a collection in front.
FLAT = {
    f"{OPERATIONS}.GetOperation": [{"method": "get", "uri": "/v1/{name=operations/**}"}],
    f"{OPERATIONS}.CancelOperation": [
        {"method": "post", "uri": "/v1/{name=operations/**}:cancel", "body": "*"}
    ],
}


class Face:
    def connect(self, http: str, amqp: str) -> None:
        self.base = f"http://{http}"
        transport = OperationsRestTransport(
            host=self.base,
            credentials=AnonymousCredentials(),
            http_options=FLAT,
            path_prefix="v1",
        )
        self.client = operations_v1.AbstractOperationsClient(transport=transport)

    def start(self, kind: str, input: dict, key: str, trace: dict) -> dict:
        session = AuthorizedSession(AnonymousCredentials())
        reply = session.post(
            f"{self.base}/v1/matrix:{kind}",
            json=input,
            headers={"idempotency-key": key, **trace},
            timeout=PATIENCE,
        )
        reply.raise_for_status()
        return shown(json_format.Parse(reply.text, operations_pb2.Operation()))

    def read(self, name: str) -> dict:
        return shown(self.client.get_operation(name))

    def wait(self, name: str) -> dict:
        def refresh(**_) -> operations_pb2.Operation:
            return self.client.get_operation(name)

        return awaited(refresh(), refresh, lambda **_: self.client.cancel_operation(name))

    def cancel(self, name: str) -> None:
        self.client.cancel_operation(name)

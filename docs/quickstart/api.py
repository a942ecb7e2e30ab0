"""An API of OCI's kind: a call is answered with a work request, which is then looked at.

    python docs/quickstart/api.py 127.0.0.1:9090
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORK_REQUESTS = "/20160918/workRequests/"
requests: dict[str, dict] = {}
# By its retry token a repeat is the same work request.
tokens: dict[str, str] = {}


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        compartment = self.path.split("/")[3]
        number = tokens.setdefault(self.headers["opc-retry-token"], f"ocid1.workrequest.oc1..{len(tokens)}")
        moved = {"entityType": "compartment", "actionType": "UPDATED", "identifier": compartment}
        requests.setdefault(number, {
            "id": number,
            "operationType": "MOVE_COMPARTMENT",
            "status": "IN_PROGRESS",
            "compartmentId": compartment,
            "percentComplete": 50,
            "resources": [moved],
        })
        self.answer(202, {}, {"opc-work-request-id": number})

    def do_GET(self) -> None:
        request = requests.get(self.path.removeprefix(WORK_REQUESTS))
        if request is None:
            self.answer(404, {"code": "NotAuthorizedOrNotFound", "message": "there is no such work request"})
            return
        self.answer(200, request)
        request.update(status="SUCCEEDED", percentComplete=100)

    def answer(self, status: int, body: dict, headers: dict | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_) -> None:
        """Says nothing."""


host, port = sys.argv[1].split(":")
server = ThreadingHTTPServer((host, int(port)), Api)
print(f"serving on {host}:{server.server_port}", flush=True)
server.serve_forever()

"""An API of OCI's kind: `POST /20220315/things` is answered with a work request, which is read and canceled."""

import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from upstreams.work import LINE, PERCENT, THING, Books, Work

VERSION = "/20220315"
STATUS = {
    "running": "IN_PROGRESS",
    "succeeded": "SUCCEEDED",
    "failed": "FAILED",
    "canceled": "CANCELED",
}
# What the codes are called here.
CODES = {"NOT_FOUND": "NotAuthorizedOrNotFound", "UNAVAILABLE": "ServiceUnavailable"}
TIME = "2026-01-02T03:04:05.678Z"


class Upstream:
    def __init__(self, books: Books):
        self.books = books
        # By the identity of the start, and by the OCID that was given out for it.
        self.begun: dict[str, str] = {}
        self.requests: dict[str, Work] = {}
        self.giving = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            upstream = self
            protocol_version = "HTTP/1.1"
            do_POST = do_GET = do_DELETE = lambda handler: answer(handler)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.address = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def connect(self, http: str, amqp: str) -> None:
        """It is called, and calls nobody."""

    def start(self, headers, input: dict) -> str:
        """The work request of a start; a repeat has the same."""
        token = headers["opc-retry-token"]
        with self.giving:
            ocid = self.begun.setdefault(token, f"ocid1.workrequest.oc1..{uuid.uuid4().hex}")
            self.requests[ocid] = self.books.start(input, token, headers)
        return ocid


def answer(handler) -> None:
    body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
    status, headers, said = reply(handler.upstream, handler.command, handler, body)
    sent = b"" if said is None else json.dumps(said).encode()
    handler.send_response(status)
    for name, value in {**headers, "content-length": str(len(sent))}.items():
        handler.send_header(name, value)
    if sent:
        handler.send_header("content-type", "application/json")
    handler.end_headers()
    handler.wfile.write(sent)


def reply(upstream: Upstream, method: str, handler, body: bytes) -> tuple[int, dict, object]:
    path = handler.path.split("?")[0].removeprefix(VERSION).strip("/").split("/")
    match method, path:
        case "POST", ["things"]:
            ocid = upstream.start(handler.headers, json.loads(body))
            return 202, {"opc-work-request-id": ocid}, None
        case "GET", ["workRequests", ocid] if ocid in upstream.requests:
            work = upstream.requests[ocid]
            upstream.books.poll(work, handler.headers)
            return 200, {}, shown(ocid, work)
        case "GET", ["workRequests", ocid, "errors"] if ocid in upstream.requests:
            return 200, {}, {"items": errors(upstream.requests[ocid])}
        case "GET", ["workRequests", ocid, "logs"] if ocid in upstream.requests:
            return 200, {}, {"items": logs(upstream.requests[ocid])}
        case "DELETE", ["workRequests", ocid] if ocid in upstream.requests:
            if upstream.books.cancel(upstream.requests[ocid], handler.headers):
                return 202, {}, None
            return 409, {}, {"code": "Conflict", "message": "it is not to be canceled"}
    return 404, {}, {"code": "NotAuthorizedOrNotFound", "message": "there is no such thing"}


def shown(ocid: str, work: Work) -> dict:
    ended = work.state != "running"
    resource = {
        "entityType": THING,
        "actionType": "CREATED" if work.state == "succeeded" else "IN_PROGRESS",
        "identifier": work.thing,
        "entityUri": f"/things/{work.thing}",
    }
    return {
        "id": ocid,
        "operationType": "MATRIX",
        "status": STATUS[work.state],
        "compartmentId": "ocid1.compartment.oc1..matrix",
        "resources": [resource],
        "percentComplete": 100.0 if work.state == "succeeded" else float(PERCENT),
        "timeAccepted": TIME,
        "timeStarted": TIME,
        "timeFinished": TIME if ended else None,
        # What a service adds of its own is part of what comes back.
        "mark": work.input.get("error", {}).get("mark"),
        "result": work.input.get("result"),
    }


def errors(work: Work) -> list[dict]:
    if work.state != "failed":
        return []
    code = CODES[work.error["code"]]
    return [{"code": code, "message": work.error["message"], "timestamp": TIME}]


def logs(work: Work) -> list[dict]:
    return [{"message": LINE, "timestamp": TIME}] if work.input["do"] != "succeed" else []

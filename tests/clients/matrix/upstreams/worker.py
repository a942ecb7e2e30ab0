"""A worker over opgate's own API, as JSON over HTTP. It comes for its operations by itself."""

import base64
import http.client
import json
import threading

from upstreams.work import LINE, MESSAGE, PERCENT, THING, Books, Work

QUEUE = "matrix"


class Refused(Exception):
    """A call that was not served."""


class Upstream:
    address = None

    def __init__(self, books: Books):
        self.books = books
        self.daemon = None

    def connect(self, http: str, amqp: str) -> None:
        first = self.daemon is None
        with self.books.changed:
            self.daemon = http
            self.books.changed.notify_all()
        if first:
            threading.Thread(target=self.lease, daemon=True).start()

    def call(self, path: str, body: dict) -> dict:
        """Calls the daemon; where it was killed, the next one once that is there."""
        while True:
            daemon = self.daemon
            try:
                return ask(daemon, path, body)
            except (OSError, http.client.HTTPException):
                with self.books.changed:
                    self.books.changed.wait_for(lambda: self.daemon != daemon)

    def lease(self) -> None:
        asking = {"max": 32, "wait": "10s", "lease": "5s", "worker": "matrix"}
        while True:
            for lease in self.call(f"queues/{QUEUE}:lease", asking).get("leases", []):
                threading.Thread(target=self.carry_out, args=(lease,), daemon=True).start()

    def carry_out(self, lease: dict) -> None:
        operation, path = lease["operation"], f"leases/{lease['lease']}"
        work = self.books.start(operation["input"]["json"], operation["id"], operation["trace"])
        told = {
            "progress": {"percent": PERCENT, "message": MESSAGE},
            "log": [{"message": LINE}],
            "resources": [resource(work, "IN_PROGRESS")],
        }
        try:
            asked = False
            while work.state == "running":
                held = self.call(f"{path}:report", told)
                told = {}
                if held.get("cancelRequested") and not asked:
                    asked = True
                    self.books.cancel(work)
                    told = {"acceptCancel": not work.refuses}
                with self.books.changed:
                    self.books.changed.wait_for(lambda: work.state != "running", 0.1)
            if work.state == "succeeded":
                self.call(f"{path}:report", {"resources": [resource(work, "CREATED")]})
            self.call(f"{path}:finish", {"outcome": outcome(work)})
        except Refused:
            # It is over, which is how a worker learns so; or another's by now.
            self.books.cancel(work)


def resource(work: Work, action: str) -> dict:
    return {"entityType": THING, "action": action, "identifier": work.thing}


def outcome(work: Work) -> dict:
    if work.state == "succeeded":
        return {"succeeded": {"json": work.result}}
    if work.state == "canceled":
        return {"canceled": {"message": "stopped"}}
    error = work.error
    # A google.rpc.LocalizedMessage, which is what an error may bring over REST too.
    mark = error["mark"].encode()
    localized = b"\x0a\x02en\x12" + bytes([len(mark)]) + mark
    detail = {
        "typeUrl": "type.googleapis.com/google.rpc.LocalizedMessage",
        "value": base64.b64encode(localized).decode(),
    }
    named = ("code", "message", "retryable")
    failed = {name: error[name] for name in named if error[name] is not None}
    return {"failed": {**failed, "details": [detail]}}


def ask(daemon: str, path: str, body: dict) -> dict:
    connection = http.client.HTTPConnection(daemon, timeout=60)
    try:
        headers = {"content-type": "application/json"}
        connection.request("POST", f"/opgate/v1/{path}", json.dumps(body), headers)
        reply = connection.getresponse()
        answer = reply.read()
        if reply.status != 200:
            raise Refused(f"{reply.status}: {answer.decode()}")
        return json.loads(answer or b"{}")
    finally:
        connection.close()

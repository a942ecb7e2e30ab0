"""opgate's own API as JSON over HTTP, as curl would call it."""

import base64
import json
import urllib.request

from faces.shown import PATIENCE, record


def details(error: dict) -> str:
    """Whatever came with an error, as a text."""
    told = [detail.get("value", "") for detail in error.get("details", [])]
    told.append(error.get("native", {}).get("body", ""))
    return "\n".join(base64.b64decode(value).decode("latin-1") for value in told)


def shown(operation: dict) -> dict:
    error = operation.get("error")
    told = record(operation, details(error) if error else None)
    told["name"] = operation["id"]
    if operation["state"] == "SUCCEEDED":
        told["result"] = operation["result"]["json"]
    return told


class Face:
    def connect(self, http: str, amqp: str) -> None:
        self.root = f"http://{http}/opgate/v1/operations"

    def ask(self, method: str, path: str = "", body: dict | None = None, headers={}) -> dict:
        request = urllib.request.Request(
            self.root + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json", **headers},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
            return json.load(reply)

    def start(self, kind: str, input: dict, key: str, trace: dict) -> dict:
        start = {"route": kind, "input": {"json": input}, "requestId": key}
        return shown(self.ask("POST", body=start, headers=trace))

    def read(self, name: str) -> dict:
        return shown(self.ask("GET", f"/{name}"))

    def wait(self, name: str) -> dict:
        while True:
            operation = self.ask("GET", f"/{name}:wait?timeout=20s")
            if operation.get("done"):
                return shown(operation)

    def cancel(self, name: str) -> None:
        self.ask("POST", f"/{name}:cancel", {})

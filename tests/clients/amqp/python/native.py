"""opgate's own API as JSON over HTTP: how the tests look at operations from another side."""

import json
import urllib.request


class Native:
    def __init__(self, address: str):
        self.root = f"http://{address}/opgate/v1"

    def start(self, route: str, **request) -> dict:
        return self.ask("POST", "/operations", {"route": route, **request})

    def get(self, identity: str) -> dict:
        return self.ask("GET", f"/operations/{identity}")

    def ended(self, identity: str) -> dict:
        """The operation, when it has ended."""
        operation = self.ask("GET", f"/operations/{identity}:wait?timeout=60s")
        assert operation["state"] in ("SUCCEEDED", "FAILED", "CANCELED"), operation
        return operation

    def cancel(self, identity: str) -> dict:
        return self.ask("POST", f"/operations/{identity}:cancel", {})

    def ask(self, method: str, path: str, body: dict | None = None) -> dict:
        request = urllib.request.Request(
            self.root + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=90) as reply:
            return json.load(reply)

"""Calls over HTTP with JSON as curl would send them: nothing is added, nothing is hidden."""

import http.client
import json
from dataclasses import dataclass

INFO = "type.googleapis.com/google.rpc.ErrorInfo"


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> dict:
        assert self.headers["content-type"] == "application/json; charset=UTF-8"
        return json.loads(self.body)

    @property
    def error(self) -> dict:
        """The error, with the ErrorInfo that every error has."""
        assert self.status >= 400, self.body
        error = self.json["error"]
        assert error["code"] == self.status
        kinds = [detail["@type"] for detail in error["details"]]
        assert len(kinds) == len(set(kinds)), "each type of detail at most once"
        assert INFO in kinds
        return error

    def detail(self, name: str) -> dict:
        """The detail of this type."""
        named = [d for d in self.error["details"] if d["@type"].endswith(f"/{name}")]
        assert len(named) == 1, self.body
        return named[0]


class Rest:
    """Requests, each on a connection of its own."""

    def __init__(self, address: str):
        self.address = address

    def __call__(
        self, method: str, target: str, body: bytes | None = None, timeout: float = 20, **headers
    ) -> Answer:
        connection = http.client.HTTPConnection(self.address, timeout=timeout)
        try:
            # Only what is given, and what HTTP cannot do without.
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            if body is not None and "content_length" not in headers:
                connection.putheader("content-length", str(len(body)))
            connection.endheaders(body)
            reply = connection.getresponse()
            return Answer(reply.status, reply.headers, reply.read())
        finally:
            connection.close()

    def get(self, target: str, **headers) -> Answer:
        return self("GET", target, **headers)

"""Management nodes, as python-qpid-proton's own request-response class speaks to them."""

from dataclasses import dataclass
from typing import Any

from proton import Message, int32
from proton.utils import BlockingConnection, SyncRequestResponse

OPERATION = "org.opgate.operation"
SHOWCASE = "org.opgate.showcase"
SELF = {"type": "org.amqp.management", "name": "self"}


# What a slow machine may take for anything, in seconds: nothing here waits for it to pass.
PATIENCE = 60


def connect(address: str, scheme: str = "amqp", **options) -> BlockingConnection:
    return BlockingConnection(f"{scheme}://{address}", timeout=PATIENCE, **options)


def plain(address: str, user: str, password: str, **options) -> BlockingConnection:
    """With a password, which the library sends over plain text only if it is told to."""
    options = {"allow_insecure_mechs": True, **options}
    return connect(address, allowed_mechs="PLAIN", user=user, password=password, **options)


@dataclass(frozen=True)
class Reply:
    message: Message

    @property
    def code(self) -> int:
        """The status; both spellings of it are there, as an int and nothing else."""
        code = self.message.properties["statusCode"]
        assert isinstance(code, int32), repr(code)
        assert self.message.properties["status-code"] == code
        return int(code)

    @property
    def description(self) -> str:
        description = self.message.properties["statusDescription"]
        assert self.message.properties["status-description"] == description
        return description

    @property
    def condition(self) -> str | None:
        condition = self.message.properties.get("errorCondition")
        assert self.message.properties.get("error-condition") == condition
        return condition

    @property
    def body(self) -> Any:
        return self.message.body

    def good(self, code: int = 200) -> Any:
        """The body of a success."""
        assert self.code == code, (self.message.properties, self.body)
        return self.body


class Node:
    """A management node, with a reply link of its own whose address opgate gives out."""

    def __init__(self, connection: BlockingConnection, address: str = "$management"):
        self.calls = SyncRequestResponse(connection, address)

    def call(self, operation: str, body: Any = None, **properties) -> Reply:
        """A request; its application properties but for the operation are named as they are called."""
        request = Message(properties={"operation": operation, **properties}, body=body)
        return Reply(self.calls.call(request))

    def start(self, instruction: dict | None = None) -> str:
        """Starts an operation of the showcase, and gives its identity."""
        return self.call("run", instruction or {}, type=SHOWCASE).good(202)["identity"]

    def of(self, identity: str, operation: str, body: Any = None, **properties) -> Reply:
        """A request that concerns one operation."""
        return self.call(operation, body, type=OPERATION, identity=identity, **properties)

"""Calls of uamqp's, in a process of their own: what its C library does when something goes wrong may
end the process. `uamqp_calls.py CALLS` runs the function of that name, which prints JSON."""

import asyncio
import json
import os
import sys

import uamqp
from uamqp import authentication, constants

HOST, PORT = os.environ["OPGATE_TLS"].split(":")
AUTHORITY = os.path.join(os.environ["OPGATE_CERTIFICATES"], "ca.pem")
NODE = f"amqps://{HOST}:{PORT}/$management"
OPERATION, SHOWCASE = b"org.opgate.operation", b"org.opgate.showcase"

# What must not be collected before the process ends: after a failure that calls back into objects which
# are collected already, and now and then ends the process.
KEPT = []


def alice(password: str = "wonder land") -> authentication.SASLPlain:
    return authentication.SASLPlain(HOST, "alice", password, port=int(PORT), verify=AUTHORITY)


# ANCHOR: ask
def ask(client, operation, op_type, body=None, node=b"$management", names=None, **properties):
    """A request: the status, its description, and what the reply holds."""
    message = uamqp.Message(body=body or {}, body_type=uamqp.MessageBodyType.Value)
    message.application_properties = properties
    code, description = names or (b"statusCode", b"statusDescription")
    return client.mgmt_request(
        message,
        operation,
        op_type=op_type,
        node=node,
        callback=lambda status, reply, said: (status, text(said), text(reply.get_data())),
        status_code_field=code,
        description_fields=description,
        timeout=60_000,
    )
# ANCHOR_END: ask


def text(value):
    """What JSON can hold of what uamqp decodes."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {text(key): text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [text(item) for item in value]
    return value


def client(auth, **options) -> uamqp.AMQPClient:
    client = uamqp.AMQPClient(NODE, auth=auth, **options)
    client.open()
    return client


def lifetime():
    """An operation from its start to its end, then what was wrong."""
    amqp = client(alice())
    started = ask(amqp, b"run", SHOWCASE, {"hold": True})
    identity = started[2]["identity"]
    calls = {"start": started}
    for operation in (b"READ", b"CANCEL", b"WAIT", b"DELETE", b"READ"):
        # As bytes, which go out as binary, and as text.
        for given in (identity, identity.encode()) if operation == b"READ" else (identity,):
            name = f"{operation.decode()} {type(given).__name__}"
            calls[name + "!" * (name in calls)] = ask(amqp, operation, OPERATION, identity=given)
    calls["unknown"] = ask(amqp, b"DANCE", OPERATION)
    calls["bad"] = ask(amqp, b"run", SHOWCASE, {"duration": "soon"})
    amqp.close()
    return calls


def spellings():
    """The names that a client may give the fields of the status."""
    amqp = client(alice())
    both = [(b"statusCode", b"statusDescription"), (b"status-code", b"status-description")]
    answers = [ask(amqp, b"READ", OPERATION, identity="0" * 26, names=names) for names in both]
    amqp.close()
    return answers


def many():
    """Many requests on one pair of links."""
    amqp = client(alice())
    identity = ask(amqp, b"run", SHOWCASE)[2]["identity"]
    statuses = [ask(amqp, b"READ", OPERATION, identity=identity)[0] for _ in range(500)]
    amqp.close()
    return statuses


def nodes():
    """Two nodes on one connection."""
    amqp = client(alice())
    answers = [
        ask(amqp, b"run", SHOWCASE, node=node)
        for node in (b"$management", b"projects/p/$management", b"$management")
    ]
    amqp.close()
    return answers


def beats():
    """A connection that gives opgate up after three seconds of silence, and says nothing for eight."""
    amqp = client(alice(), idle_timeout=3000)
    before = ask(amqp, b"run", SHOWCASE)
    counter = uamqp.c_uamqp.TickCounter()
    ends = counter.get_current_ms() + 8000
    while counter.get_current_ms() < ends:
        amqp.do_work()
    after = ask(amqp, b"READ", OPERATION, identity=before[2]["identity"])
    amqp.close()
    return [before, after]


def asynchronous():
    """The same over asyncio: MgmtOperationAsync."""

    async def calls():
        amqp = uamqp.AMQPClientAsync(NODE, auth=alice())
        await amqp.open_async()

        async def ask(operation, op_type, body=None, **properties):
            message = uamqp.Message(body=body or {}, body_type=uamqp.MessageBodyType.Value)
            message.application_properties = properties
            return await amqp.mgmt_request_async(
                message,
                operation,
                op_type=op_type,
                node=b"$management",
                callback=lambda status, reply, said: (status, text(said), text(reply.get_data())),
                timeout=60_000,
            )

        started = await ask(b"run", SHOWCASE, {"hold": True})
        identity = started[2]["identity"]
        canceled = await ask(b"CANCEL", OPERATION, identity=identity)
        absent = await ask(b"READ", OPERATION, identity="0" * 26)
        # Side by side on one pair of links: a reply may find another's request waiting.
        reads = await asyncio.gather(*(ask(b"READ", OPERATION, identity=identity) for _ in range(8)))
        await amqp.close_async()
        return {"start": started, "cancel": canceled, "absent": absent, "reads": reads}

    return asyncio.run(calls())


def token():
    """A token put to `$cbs`, as Azure's clients do: MSSBCBS, then the claim, then the request."""
    auth = authentication.SASTokenAuth.from_shared_access_key(
        f"sb://{HOST}/hub", "alice", "wonder land", port=int(PORT), verify=AUTHORITY
    )
    amqp = client(auth)
    started = ask(amqp, b"run", SHOWCASE)
    amqp.close()
    return started


def refused():
    """A wrong password: what the library says of it."""
    amqp = uamqp.AMQPClient(NODE, auth=alice("wonderland"))
    KEPT.append(amqp)
    try:
        amqp.open()
        ask(amqp, b"run", SHOWCASE)
    except Exception as error:
        # It holds the frames it came through, and they the library's objects.
        KEPT.append(error)
        return f"{type(error).__name__}: {error}"
    return None


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()), flush=True)
    # Past the collection of what the C library still holds on to.
    os._exit(0)

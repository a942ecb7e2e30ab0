"""What a client shows of an operation, in the one form that the suite compares.

    name      what the client calls it by: any JSON
    done      whether it has ended
    state     "running", "succeeded", "failed" or "canceled"; None where the client does not say
    result    of a success
    error     of anything else that ended: {"code", "message", "retryable", "details"}; details is a text in
              which whatever came with the error can be found
    percent   how far it is, and
    message   what it says for people
    log       its lines
    resources what it works on: {"type", "action", "identifier"} each

What a client shows nothing of is left out.
"""

# Longer than anything takes, so that only a hang is cut short by it.
PATIENCE = 60
STATES = {
    "ACCEPTED": "running",
    "RUNNING": "running",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "CANCELED": "canceled",
}


def present(**fields) -> dict:
    """The fields that are there."""
    return {name: value for name, value in fields.items() if value is not None}


def record(operation: dict, details: str | None) -> dict:
    """Of opgate's own record, in the field names of its API."""
    error = operation.get("error")
    progress = operation.get("progress") or {}
    return present(
        done=operation.get("done", False),
        state=STATES[operation["state"]],
        error=error and present(**error_of(error), details=details),
        percent=progress.get("percent"),
        message=progress.get("message"),
        log=[line["message"] for line in operation.get("log") or []],
        resources=[
            {"type": r["entityType"], "action": r.get("action"), "identifier": r["identifier"]}
            for r in operation.get("resources") or []
        ],
    )


def error_of(error: dict) -> dict:
    return present(
        code=error["code"], message=error.get("message"), retryable=error.get("retryable")
    )

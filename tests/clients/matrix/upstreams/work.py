"""What an upstream does: as it is told by the input of an operation.

    key       by what the suite knows it
    do        "succeed"        ends at once, with `result`
              "fail"           ends at once, with `error`: {"code", "message", "retryable", "mark"}; the mark is told in
                               whatever place the protocol has for more than a text, and `retryable` may be null
              "hold"           runs until it is released or canceled
              "refuse-cancel"  runs until it is released, and does not let itself be canceled
    result    of a success

While it runs it is at 40 percent, and says so, has written a line to its log, and works on one thing.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

PERCENT, MESSAGE, LINE, THING = 40, "halfway", "half of it is done", "thing"
PATIENCE = 60
TRACE = ("traceparent", "tracestate")


@dataclass
class Work:
    """One piece of work, and what was asked about it."""

    input: dict
    # By what each start was known: a repeat has the same.
    identities: list[str] = field(default_factory=list)
    cancels: int = 0
    polls: int = 0
    # What each kind of request said of the trace that it is of, each once.
    traces: dict[str, list[dict]] = field(default_factory=dict)
    released: bool = False
    canceled: bool = False

    @property
    def thing(self) -> str:
        return f"thing-{self.input['key']}"

    @property
    def state(self) -> str:
        if self.canceled:
            return "canceled"
        match self.input["do"]:
            case "succeed":
                return "succeeded"
            case "fail":
                return "failed"
            case "hold" | "refuse-cancel":
                return "succeeded" if self.released else "running"
            case unknown:
                raise ValueError(unknown)

    @property
    def result(self) -> dict:
        return self.input["result"]

    @property
    def error(self) -> dict:
        return self.input["error"]

    def traced(self, what: str, told: Mapping) -> None:
        """Of the headers, metadata or properties of a request."""
        trace = {name: told[name] for name in TRACE if name in told}
        if trace not in self.traces.setdefault(what, []):
            self.traces[what].append(trace)

    @property
    def refuses(self) -> bool:
        return self.input["do"] == "refuse-cancel"


class Books:
    """All work there is, by key. Whatever changes, those who wait look again."""

    def __init__(self):
        self.changed = threading.Condition()
        self.all: dict[str, Work] = {}

    def start(self, input: dict, identity: str, told: Mapping) -> Work:
        with self.changed:
            work = self.all.setdefault(input["key"], Work(input))
            work.identities.append(identity)
            work.traced("starts", told)
            self.changed.notify_all()
            return work

    def poll(self, work: Work, told: Mapping) -> None:
        with self.changed:
            work.polls += 1
            work.traced("polls", told)
            self.changed.notify_all()

    def cancel(self, work: Work, told: Mapping | None = None) -> bool:
        """Asks it to end; whether it does. A worker learns of that in the answer to a request of its own."""
        with self.changed:
            work.cancels += 1
            if told is not None:
                work.traced("cancels", told)
            if work.state == "running" and not work.refuses:
                work.canceled = True
            self.changed.notify_all()
            return not work.refuses

    def release(self, key: str) -> None:
        with self.changed:
            self.all[key].released = True
            self.changed.notify_all()

    def asked(self, key: str) -> dict:
        """What was asked: how often it was started, and under how many identities."""
        with self.changed:
            if key not in self.all:
                return {"starts": 0, "begun": 0, "cancels": 0, "polls": 0}
            work = self.all[key]
            return {
                "input": work.input,
                "starts": len(work.identities),
                "begun": len(set(work.identities)),
                "cancels": work.cancels,
                "polls": work.polls,
                "traces": work.traces,
            }

    def wait(self, key: str, what: str, least: int) -> dict:
        """Waits until that much was asked of it."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.asked(key)[what] >= least, PATIENCE):
                raise TimeoutError(f"{what} of {key}: {self.asked(key)}")
        return self.asked(key)

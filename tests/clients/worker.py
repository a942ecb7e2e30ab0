"""A worker over opgate's JSON API: it comes for operations, tells how they go, and finishes them.

    python3 worker.py HOST:PORT QUEUE NAME [--hold]

As a program it carries out whatever is in the queue and prints a line for each thing it does. With
--hold it takes two and finishes nothing: it reports again and again until it is killed. Only Python's own library
is needed, so this is also what a worker in another language has to do.
"""

import http.client
import json
import sys
import time


class Refused(Exception):
    """A call that was not served: the HTTP status, and the error that came with it."""

    def __init__(self, status: int, error: dict):
        super().__init__(f"{status}: {error.get('message', error)}")
        self.status = status
        self.error = error


class Worker:
    """One worker: a connection, and the calls it makes."""

    def __init__(self, address: str, queue: str, name: str):
        self.connection = http.client.HTTPConnection(address, timeout=60)
        self.queue, self.name = queue, name

    def call(self, path: str, body: dict) -> dict:
        headers = {"content-type": "application/json"}
        self.connection.request("POST", f"/opgate/v1/{path}", json.dumps(body), headers)
        response = self.connection.getresponse()
        answer = json.loads(response.read() or b"{}")
        if response.status != 200:
            raise Refused(response.status, answer.get("error", {}))
        return answer

    def lease(self, most: int = 1, wait: str = "20s", lease: str = "5s") -> list[dict]:
        """Operations with their leases; none if there was nothing for so long."""
        ask = {"max": most, "wait": wait, "lease": lease, "worker": self.name}
        return self.call(f"queues/{self.queue}:lease", ask).get("leases", [])

    def report(self, lease: str, **told) -> dict:
        return self.call(f"leases/{lease}:report", told)

    def finish(self, lease: str, **outcome) -> dict:
        return self.call(f"leases/{lease}:finish", {"outcome": outcome})

    def release(self, lease: str, **told) -> dict:
        return self.call(f"leases/{lease}:release", told)

    def carry_out(self, lease: dict, steps: int = 2) -> dict:
        """Works in steps, reports each, and stops when it is asked to."""
        token = lease["lease"]
        for step in range(1, steps + 1):
            progress = {"percent": 100 * step / steps, "done": step, "total": steps}
            held = self.report(token, progress=progress, log=[{"message": f"step {step}"}])
            if held.get("cancelRequested"):
                self.report(token, acceptCancel=True)
                return self.finish(token, canceled={"message": f"stopped at step {step}"})
        result = {"by": self.name, "input": lease["operation"].get("input", {}).get("json")}
        return self.finish(token, succeeded={"json": result})


def main() -> None:
    address, queue, name = sys.argv[1:4]
    worker = Worker(address, queue, name)
    hold, held = "--hold" in sys.argv, []
    while True:
        if not hold or len(held) < 2:
            for lease in worker.lease(wait="0.2s" if held else "20s", lease="5s"):
                print("leased", lease["operation"]["id"], flush=True)
                if hold:
                    held.append(lease["lease"])
                else:
                    ended = worker.carry_out(lease)
                    print("finished", ended["id"], flush=True)
        for lease in held:
            worker.report(lease)
        if held:
            time.sleep(0.05)


if __name__ == "__main__":
    main()

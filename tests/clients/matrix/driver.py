"""A program that is told what to do: a JSON object on each line of its input, and one on each line of its output.

A command is {"id": 1, "do": NAME, ...arguments}, and its answer {"id": 1, "ok": VALUE} or {"id": 1, "error": TEXT}.
Each runs in a thread of its own, so that one that waits holds up none.
"""

import json
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

Commands = dict[str, Callable[..., Any]]


def serve(commands: Commands) -> None:
    """Carries out commands until the input ends."""
    writing = threading.Lock()

    def carry_out(command: dict) -> None:
        number, name = command.pop("id"), command.pop("do")
        try:
            answer = {"id": number, "ok": commands[name](**command)}
        except Exception:  # Whatever it is, whoever asked is told.
            answer = {"id": number, "error": traceback.format_exc()}
        line = json.dumps(answer)
        with writing:
            print(line, flush=True)

    for line in sys.stdin:
        threading.Thread(target=carry_out, args=(json.loads(line),), daemon=True).start()

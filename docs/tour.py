#!/usr/bin/env python3
"""Carries out the tour in README.md, line by line, and holds what comes out against what stands there.

    python3 -m venv /tmp/tour && /tmp/tour/bin/pip install -qr tests/clients/requirements-tour.txt
    /tmp/tour/bin/python docs/tour.py            # shows the tour, as it comes out here
    /tmp/tour/bin/python docs/tour.py --write    # writes that into README.md

It talks to a daemon in its default configuration, unless --http and --amqp say where another one is. Ids, tokens and
times are not compared: they are new each time. Exits with 1 where anything else differs.
"""

import argparse
import contextlib
import difflib
import doctest
import io
import os
import re
import sys
from pathlib import Path

HTTP, AMQP = "127.0.0.1:8080", "127.0.0.1:5672"
TOUR = re.compile(r"(?<=^```python\n)>>> .*?(?=^```$)", re.DOTALL | re.MULTILINE)
# What is new each time: sealed tokens, ids (OCIDs end in one), times.
NEW = [
    (re.compile(r"[A-Za-z0-9_-]{70,100}(?=['\"\s])"), "TOKEN"),
    (re.compile(r"[0-9a-hjkmnp-tv-z]{26}(?=['\"\s])"), "ID"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+(Z|\+00:00)?"), "TIME"),
]


def once_more(block: str, names: dict, http: str, amqp: str) -> str:
    """A block of the tour with what each line prints now; `names` is what the blocks before have left."""

    def here(source: str) -> str:
        return source.replace(HTTP, http).replace(AMQP, amqp)

    said = []
    for part in doctest.DocTestParser().parse(block):
        if isinstance(part, str):
            said.append(part)
            continue
        lines = part.source.rstrip("\n").split("\n")
        said.append("".join(f"{'...' if i else '>>>'} {line}".rstrip() + "\n" for i, line in enumerate(lines)))
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(here(part.source), "README.md", "single"), names)
        said.append(printed.getvalue().replace(http, HTTP).replace(amqp, AMQP))
    return "".join(said)


def comparable(text: str) -> list[str]:
    for pattern, word in NEW:
        text = pattern.sub(word, text)
    return text.splitlines()


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--http", default=HTTP)
    arguments.add_argument("--amqp", default=AMQP)
    arguments.add_argument("--write", action="store_true")
    given = arguments.parse_args()
    # The clients would otherwise look for the daemon behind a proxy.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
    readme = Path(__file__).parent.parent / "README.md"
    text = readme.read_text()
    names = {}

    def again(block: re.Match) -> str:
        now = once_more(block[0], names, given.http, given.amqp)
        print(now, flush=True)
        return now

    now = TOUR.sub(again, text)
    if given.write:
        readme.write_text(now)
        return 0
    differs = list(difflib.unified_diff(comparable(text), comparable(now), "README.md", "now", lineterm=""))
    print("\n".join(differs), file=sys.stderr)
    # A README without a tour is no tour that came out right.
    return 1 if differs or not names else 0


if __name__ == "__main__":
    sys.exit(main())

"""Whoever carries operations out, told what to do by lines of JSON (driver.py): `upstream.py KIND`.

What becomes of an operation stands in its input (upstreams/work.py); `release` lets go on what is held, `await` waits
until so much was asked, `asked` tells what was.
"""

import importlib
import sys

from driver import serve
from upstreams.work import Books


def main() -> None:
    books = Books()
    upstream = importlib.import_module(f"upstreams.{sys.argv[1]}").Upstream(books)
    serve(
        {
            # Where it listens; None where it comes to the daemon by itself.
            "address": lambda: upstream.address,
            "connect": lambda http, amqp: upstream.connect(http, amqp),
            "release": books.release,
            "asked": books.asked,
            "await": books.wait,
        }
    )


if __name__ == "__main__":
    main()

"""Vendors' clients of one daemon, told what to do by lines of JSON (driver.py): `front.py FACE...`.

A face starts, reads, awaits and cancels operations, each in its client's own calls, and shows what that client
makes of them in one form (faces/shown.py). `kind` is the route: `work`, or `brief`, whose operations have a
second in all; `trace` is the start's, by the names of W3C Trace Context's headers.
"""

import importlib
import sys

from driver import serve


def main() -> None:
    faces = {name: importlib.import_module(f"faces.{name}").Face() for name in sys.argv[1:]}

    def connect(http: str, amqp: str) -> None:
        for face in faces.values():
            face.connect(http, amqp)

    serve(
        {
            "connect": connect,
            "start": lambda face, kind, input, key, trace: faces[face].start(kind, input, key, trace),
            "read": lambda face, name: faces[face].read(name),
            "wait": lambda face, name: faces[face].wait(name),
            "cancel": lambda face, name: faces[face].cancel(name),
        }
    )


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Carries out what a page says, line by line, and holds what comes out against what stands there.

    python3 -m venv /tmp/tour && /tmp/tour/bin/pip install -qr tests/clients/requirements-tour.txt
    /tmp/tour/bin/python docs/tour.py            # shows the tour in README.md, as it comes out here
    /tmp/tour/bin/python docs/tour.py --write    # writes that into README.md
    /tmp/tour/bin/python docs/tour.py docs/quickstart/workers.md    # another page

Blocks of python are lines after >>>, as a Python prompt has them; blocks of console are commands after $, which one
bash carries out. A command with & at its end goes on until the end of the page: `opgate --config FILE &` is a daemon of
its own, on free ports and with a directory of its own, and what else names a port that nobody has yet listens there,
and says first where. README.md has no daemon of its own: it is there in its default configuration, unless --http
and --amqp say where another one is. Ids, tokens and times are not compared: they are new each time. Exits with 1 where
anything else differs.
"""

import argparse
import contextlib
import difflib
import doctest
import io
import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
HTTP, AMQP, ADMIN = "127.0.0.1:8080", "127.0.0.1:5672", "127.0.0.1:9464"
LISTENERS = {"http": HTTP, "amqp": AMQP, "admin": ADMIN}
BLOCK = re.compile(r"(?<=^```python\n)>>> .*?(?=^```$)|(?<=^```console\n)\$ .*?(?=^```$)", re.DOTALL | re.MULTILINE)
ADDRESS = re.compile(r"127\.0\.0\.1:\d+")
# What is new each time: sealed tokens, ids (OCIDs end in one), times.
NEW = [
    (re.compile(r"[A-Za-z0-9_-]{70,100}(?=['\"\s])"), "TOKEN"),
    (re.compile(r"[0-9a-hjkmnp-tv-z]{26}(?=['\"\s,])"), "ID"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+(Z|\+00:00)?"), "TIME"),
]
# Longer, in seconds, than a program takes to begin or to end, and than a command takes: only a hang is cut short.
PATIENCE, LONGEST = 120, 900
# What ends the output of a command, with its exit code.
END = "-- end of output: "


class Program:
    """A program that goes on, and what it says."""

    def __init__(self, command: list[str], environment: dict):
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        self.lines = queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def line(self) -> str:
        said = self.lines.get(timeout=PATIENCE)
        if said is None:
            raise RuntimeError(f"{self.process.args} has ended: {self.process.wait()}")
        return said

    def end(self) -> int:
        """Asks it to end; its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Stage:
    """Where a page is carried out: who listens where, what goes on, and a shell."""

    def __init__(self, directory: Path, http: str, amqp: str):
        self.directory = directory
        self.here = {HTTP: http, AMQP: amqp}
        self.programs: list[Program] = []
        self.daemons: list[Program] = []
        # The clients would otherwise look for the daemon behind a proxy.
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment = {**os.environ, "PATH": path, "HOME": str(directory), "PYTHONUNBUFFERED": "1"}
        self.names: dict = {}
        self.shell = None

    def now(self, text: str) -> str:
        """With the addresses where things are, for those on the page."""
        return ADDRESS.sub(lambda known: self.here.get(known[0], known[0]), text)

    def then(self, text: str) -> str:
        """With the addresses on the page, for those where things are."""
        there = {now: then for then, now in self.here.items()}
        return ADDRESS.sub(lambda known: there.get(known[0], known[0]), text)

    def python(self, block: str) -> str:
        said = []
        for part in doctest.DocTestParser().parse(block):
            if isinstance(part, str):
                said.append(part)
                continue
            lines = part.source.rstrip("\n").split("\n")
            said.append("".join(f"{'...' if i else '>>>'} {line}".rstrip() + "\n" for i, line in enumerate(lines)))
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(self.now(part.source), "the page", "single"), self.names)
            said.append(self.then(printed.getvalue()))
        return "".join(said)

    def console(self, block: str) -> str:
        said = []
        for part in re.split(r"^(?=\$ )", block, flags=re.MULTILINE)[1:]:
            # A command goes on after a backslash.
            command = re.match(r"\$ (?:.*\\\n)*.*\n", part)[0]
            said.append(command)
            line = command[2:].strip()
            if line.endswith("&"):
                shown = part[len(command) :].count("\n")
                said.append(self.begin(line.rstrip("& "), shown))
            else:
                said.append(self.then(self.run(self.now(line))))
        return "".join(said)

    def begin(self, command: str, shown: int) -> str:
        """Has a command go on; so many lines of what it says."""
        if command.startswith("opgate "):
            self.daemon(command.split()[1:])
            return ""
        free = next((found for found in ADDRESS.findall(command) if found not in self.here), None)
        command = self.now(command).replace(free or "\0", "127.0.0.1:0")
        program = Program(["bash", "-c", f"exec {command}"], self.environment)
        self.programs.append(program)
        lines = []
        for _ in range(shown):
            lines.append(program.line())
            if free and free not in self.here:
                self.here[free] = ADDRESS.search(lines[0])[0]
        return self.then("".join(lines))

    def daemon(self, arguments: list[str]) -> None:
        number = len(self.daemons)
        ready = self.directory / f"ready-{number}.json"
        command = ["opgate"]
        for argument in arguments:
            if argument.endswith(".toml"):
                config = self.directory / f"{number}-{Path(argument).name}"
                config.write_text(self.now((ROOT / argument).read_text()))
                argument = str(config)
            command.append(argument)
        for listener in LISTENERS:
            command += ["--set", f"{listener}.listen=127.0.0.1:0"]
        command += ["--set", f"data.dir={self.directory / f'data-{number}'}", "--ready-file", str(ready)]
        daemon = Program(command, self.environment)
        self.daemons.append(daemon)
        ends = time.monotonic() + PATIENCE
        while not ready.exists():
            if daemon.process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError(f"{command} was not ready: {daemon.process.poll()}")
            time.sleep(0.02)
        told = json.loads(ready.read_text())
        self.here |= {documented: told[listener] for listener, documented in LISTENERS.items()}
        self.environment["OPGATE_ADDRESS"] = f"http://{told['http']}"
        if self.shell:
            self.run(f"export OPGATE_ADDRESS={self.environment['OPGATE_ADDRESS']}")

    def run(self, command: str) -> str:
        if self.shell is None:
            self.shell = subprocess.Popen(
                ["bash", "--noprofile", "--norc"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        # What does not end its last line has it ended here.
        self.shell.stdin.write(f"{{ {command}\n}} </dev/null; printf '\\n{END}%s\\n' $?\n")
        self.shell.stdin.flush()
        cut = threading.Timer(LONGEST, self.shell.kill)
        cut.start()
        lines = []
        for line in self.shell.stdout:
            if line.startswith(END):
                break
            lines.append(line)
        else:
            raise RuntimeError(f"{command} did not end:\n{''.join(lines)}")
        cut.cancel()
        said = "".join(lines)
        return said[:-1] if said.endswith("\n\n") or said == "\n" else said

    def close(self) -> list[int]:
        """Ends all that goes on; the exit codes of the daemons."""
        codes = [daemon.end() for daemon in self.daemons]
        for program in self.programs:
            program.end()
        if self.shell:
            self.shell.kill()
            self.shell.wait()
        return codes


def carried_out(page: Path, http: str, amqp: str) -> tuple[str, str]:
    """A page as it stands there, and as it comes out."""
    text = page.read_text()
    with tempfile.TemporaryDirectory() as directory:
        stage = Stage(Path(directory), http, amqp)

        def again(block: re.Match) -> str:
            now = stage.python(block[0]) if block[0].startswith(">>>") else stage.console(block[0])
            print(now, flush=True)
            return now

        try:
            now, count = BLOCK.subn(again, text)
        finally:
            codes = stage.close()
    if not count:
        raise RuntimeError(f"{page} has nothing to carry out")
    if any(codes):
        raise RuntimeError(f"the daemons of {page} ended with {codes}")
    return text, now


def comparable(text: str) -> list[str]:
    for pattern, word in NEW:
        text = pattern.sub(word, text)
    return text.splitlines()


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("page", nargs="?", type=Path, default=ROOT / "README.md")
    arguments.add_argument("--http", default=HTTP)
    arguments.add_argument("--amqp", default=AMQP)
    arguments.add_argument("--write", action="store_true")
    given = arguments.parse_args()
    text, now = carried_out(given.page, given.http, given.amqp)
    differs = list(difflib.unified_diff(comparable(text), comparable(now), str(given.page), "now", lineterm=""))
    if given.write:
        # What is new each time is no reason to change a page.
        given.page.write_text(now if differs else text)
        return 0
    print("\n".join(differs), file=sys.stderr)
    return 1 if differs else 0


if __name__ == "__main__":
    sys.exit(main())

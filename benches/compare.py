#!/usr/bin/env python3
"""Side by side: opgate against floor servers, as ratios inside one interleaved run.

See benches/README.md for what each figure means. Standard library only. A reply that is not the expected one stops
the run; a missed goal is printed and does not.
"""

import argparse
import base64
import contextlib
import email.utils
import hashlib
import json
import os
import re
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SERVER_CORE, LOAD_CORE = "0", "1"
OPERATIONS = "/google.longrunning.Operations/"
SHOWCASE = "/opgate.showcase.v1.Showcase/"
SHAPES = [(1, 1), (1, 16), (1, 128), (16, 8)]
REST_SHAPES = [("h1", 16, 1), ("h1", 128, 1), ("h2", 16, 8), ("h2", 1, 128)]
AMQP_SHAPES = [(1, 1), (8, 1), (64, 1), (1, 16), (1, 128), (8, 100)]
NEXUS_SHAPES = [("h1", 1, 1), ("h1", 16, 1), ("h1", 128, 1), ("h2", 16, 8)]
LOOK_WATCHERS = [1, 100]
REPLY_BYTES = 294  # the size the goals were set at
GRPC_PREFIX = 5
START_SECONDS = 90  # a server under valgrind starts slowly
WAITERS, WAITER_CONNECTIONS, IDLE_CONNECTIONS = 20_000, 20, 1_000


# --- protobuf, as much as is needed --------------------------------------------------------------------------------

def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def struct(fields):
    """google.protobuf.Struct of strings, numbers and booleans."""
    def value(of):
        if isinstance(of, bool):
            return varint(4 << 3) + varint(int(of))
        if isinstance(of, (int, float)):
            import struct as packing
            return varint(2 << 3 | 1) + packing.pack("<d", of)
        return field(3, str(of).encode())
    return b"".join(field(1, field(1, key.encode()) + field(2, value(of))) for key, of in fields.items())


def fields_of(message):
    """The top-level fields of a message: number to bytes, or int for a varint."""
    at, found = 0, {}

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = number()
        if key & 7 == 0:
            found[key >> 3] = number()
        elif key & 7 == 2:
            length = number()
            found[key >> 3] = message[at:at + length]
            at += length
        else:
            raise ValueError(f"unexpected wire type {key & 7}")
    return found


def named(name, wait_seconds=None):
    """A message of field 1 = name and, for Wait, field 2 = timeout."""
    message = field(1, name.encode())
    return message + field(2, varint(1 << 3) + varint(wait_seconds)) if wait_seconds else message


# --- servers -------------------------------------------------------------------------------------------------------

class Server:
    """One process of one variant, pinned to the server core unless another is named."""

    def __init__(self, variant, wrapper=(), log=subprocess.DEVNULL, core=SERVER_CORE):
        self.variant = variant
        self.directory = tempfile.mkdtemp(prefix="opgate-compare-", dir=variant.options.data_root)
        ready = Path(self.directory, "ready.json")
        command = ["taskset", "-c", core, *wrapper, *variant.command(self.directory, ready)]
        environment = os.environ | {"TOKIO_WORKER_THREADS": "1"}
        stdout = subprocess.PIPE if variant.floor else log
        self.process = subprocess.Popen(command, env=environment, stdout=stdout, stderr=log, text=True)
        self.pid = self.process.pid
        try:
            addresses = self.first_line() if variant.floor else self.ready_file(ready)
            self.address = addresses["http"]
            self.amqp = addresses.get("amqp", self.address)
        except BaseException:
            self.stop()
            raise

    def first_line(self):
        if not select.select([self.process.stdout], [], [], START_SECONDS)[0]:
            raise RuntimeError(f"{self.variant.name} printed no address")
        return json.loads(self.process.stdout.readline())

    def ready_file(self, path):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
                return json.loads(path.read_text())
            time.sleep(0.02)
        raise RuntimeError(f"{self.variant.name} did not become ready, exit status {self.process.poll()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def cpu_ns(self):
        """CPU time of the whole process, exact: the kernel's clock of another process."""
        return time.clock_gettime_ns((~self.pid << 3) | 2)

    def resident(self):
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def settle(self):
        """Returns when the server has used no CPU worth naming for a while."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            before = self.cpu_ns()
            time.sleep(0.2)
            if self.cpu_ns() - before < 1_000_000:
                return
        raise RuntimeError(f"{self.variant.name} does not come to rest")

    def load_command(self, path, message, *shape, expect=None, deadline=120, protocol="grpc", headers=(), status=200):
        command = ["taskset", "-c", LOAD_CORE, self.variant.options.bin / "load", "--target", self.address,
                   "--protocol", protocol, "--path", path, "--message", message.hex(), "--deadline", str(deadline)]
        if expect:
            command += ["--expect-bytes", str(expect)]
        if status != 200:
            command += ["--expect-status", str(status)]
        for name, value in headers:
            command += ["--header", f"{name}: {value}"]
        return [str(word) for word in [*command, *shape]]

    def load(self, *arguments, wrapper=(), **options):
        done = subprocess.run([*wrapper, *self.load_command(*arguments, **options)], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{self.variant.name}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def call(self, path, message):
        return bytes.fromhex(self.load(path, message, "call")["body"])[GRPC_PREFIX:]

    def prepare(self):
        """Learns the operation to Get and the size of the reply."""
        self.get = named(self.variant.start(self))
        self.expect = len(self.call(OPERATIONS + "GetOperation", self.get)) + GRPC_PREFIX
        return self

    def prepare_oci(self):
        """As prepare, for the work request of the operation."""
        name = self.variant.start(self).removeprefix("operations/")
        self.path = "/20160918/workRequests/ocid1.opgateworkrequest.oc1.." + name.rjust(60, "a")
        self.headers = self.variant.signed(self)
        body = self.load(self.path, b"", "call", protocol="h1", headers=self.headers)["body"]
        self.expect = len(bytes.fromhex(body))
        return self

    def closed_oci(self, protocol, connections, in_flight, requests):
        return self.load(self.path, b"", "closed", "--connections", connections, "--in-flight", in_flight,
                         "--requests", requests, expect=self.expect, protocol=protocol, headers=self.headers)

    def prepare_rest(self):
        """As prepare, over REST."""
        self.path = "/v1/" + self.variant.start(self)
        self.expect = len(bytes.fromhex(self.load(self.path, b"", "call", protocol="h1")["body"]))
        return self

    def closed_rest(self, protocol, connections, in_flight, requests):
        return self.load(self.path, b"", "closed", "--connections", connections, "--in-flight", in_flight,
                         "--requests", requests, expect=self.expect, protocol=protocol)

    def prepare_amqp(self, read="operation"):
        """As prepare, for READs by AMQP; there a reply's length is that of its message."""
        self.identity = self.variant.start(self).removeprefix("operations/") if read == "operation" else ""
        return self

    def amqp_command(self, *words):
        command = ["taskset", "-c", LOAD_CORE, self.variant.options.bin / "load", "--target", self.amqp,
                   "--deadline", 120, *words]
        return [str(word) for word in command]

    def closed_amqp(self, connections, in_flight, requests, expect=None, settled=False):
        command = self.amqp_command(*(("--expect-bytes", expect) if expect else ()), "amqp", "--identity", self.identity,
                                    "--connections", connections, "--in-flight", in_flight, "--requests", requests,
                                    *(("--settled",) if settled else ()))
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{self.variant.name}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def through(self, route, connections, operations):
        """Operations of a route from their start to their end, one after the other on each connection."""
        return self.load("/", b"", "through", "--route", route, "--connections", connections, "--requests", operations)

    def closed(self, connections, in_flight, requests, **options):
        return self.load(OPERATIONS + "GetOperation", self.get, "closed", "--connections", connections,
                         "--in-flight", in_flight, "--requests", requests, expect=self.expect, **options)


class Floor:
    floor = True

    def __init__(self, kind, options, size, name=None):
        self.kind, self.options, self.size, self.name = kind, options, size, name or kind

    def command(self, _directory, _ready):
        return [str(self.options.bin / "floor"), self.kind, "--size", str(self.size)]

    def start(self, _server):
        return "operations/" + "0" * 32

    start_pending = start

    def signed(self, _server):
        return ()


class Opgate:
    floor = False
    name = "opgate"

    def __init__(self, options):
        self.options, self.padding, self.settings = options, 0, []

    def signed(self, _server):
        return ()

    def command(self, directory, ready):
        # Waiters must outlast a slow machine, and are to be answered by the release, not by the clock.
        settings = ["http.listen=127.0.0.1:0", "admin.listen=127.0.0.1:0", "amqp.listen=127.0.0.1:0", f"data.dir={directory}/data",
                    "wait.max=5m", *self.settings, *self.options.set]
        return [str(self.options.opgate), "run", *(word for one in settings for word in ("--set", one)),
                "--ready-file", str(ready)]

    def start(self, server):
        """Starts an operation of about REPLY_BYTES and waits for its end, so that its size no longer changes."""
        for _ in range(4):
            operation = server.call(SHOWCASE + "Echo", struct({"pad": "x" * self.padding}))
            name = fields_of(operation)[1].decode()
            operation = server.call(OPERATIONS + "WaitOperation", named(name, wait_seconds=20))
            short = REPLY_BYTES - len(operation)
            if short == 0 or (short < 0 and self.padding == 0):
                break
            self.padding = max(0, self.padding + short)
        if fields_of(operation).get(3) != 1:
            raise RuntimeError(f"operation {name} does not end")
        return name

    def start_pending(self, server):
        """An operation that runs until it is cancelled."""
        operation = server.call(SHOWCASE + "Run", struct({"hold": True}))
        return fields_of(operation)[1].decode()


class Signed(Opgate):
    """opgate that asks for OCI signatures, and a key to make one with."""
    name = "signed"
    tenancy, user = "ocid1.tenancy.oc1..bench", "ocid1.user.oc1..bench"

    def __init__(self, options, directory):
        super().__init__(options)
        self.key, public = Path(directory, "key.pem"), Path(directory, "public.pem")
        self.openssl("genrsa", "-out", self.key, "2048")
        self.openssl("rsa", "-in", self.key, "-pubout", "-out", public)
        der = self.openssl("rsa", "-in", self.key, "-pubout", "-outform", "DER")
        print_of = hashlib.md5(der).hexdigest()
        self.key_id = "/".join([self.tenancy, self.user, ":".join(re.findall("..", print_of))])
        self.settings = ['oci.signatures="required"', f'oci.tenancies.bench.id="{self.tenancy}"',
                         'oci.tenancies.bench.tenant="default"',
                         'oci.users.bench.tenancy="bench"', f'oci.users.bench.id="{self.user}"',
                         f'oci.users.bench.key_files=["{public}"]']

    @staticmethod
    def openssl(*words, given=b""):
        return subprocess.run(["openssl", *map(str, words)], input=given, check=True, capture_output=True).stdout

    def signed(self, server):
        """The headers of a GET: good for some minutes, and as often as one likes."""
        date = email.utils.formatdate(usegmt=True)
        text = f"date: {date}\n(request-target): get {server.path}\nhost: {server.address}"
        signature = base64.b64encode(self.openssl("dgst", "-sha256", "-sign", self.key, given=text.encode())).decode()
        return [("date", date), ("authorization", 'Signature version="1",algorithm="rsa-sha256",'
                 f'headers="date (request-target) host",keyId="{self.key_id}",signature="{signature}"')]


# --- measurements: each returns {figure: {variant: [one value a round]}} ---------------------------------------------

class Figures(dict):
    def add(self, figure, variant, value):
        self.setdefault(figure, {}).setdefault(variant.name, []).append(value)


def measure_closed(variants, rounds, figures):
    for _ in range(rounds):
        for variant in variants:
            with Server(variant) as server:
                server.prepare().closed(16, 8, 20_000)
                for connections, in_flight in SHAPES:
                    requests = 10_000 if in_flight == 1 else 60_000
                    before = server.cpu_ns()
                    result = server.closed(connections, in_flight, requests)
                    shape = f"{connections}x{in_flight}"
                    figures.add(f"CPU us/request {shape}", variant, (server.cpu_ns() - before) / 1e3 / requests)
                    figures.add(f"requests/s {shape}", variant, result["per_second"])


def measure_rest(options, rounds, figures):
    """GET of one operation over HTTP with JSON, against bare hyper answering as many bytes."""
    subject = Opgate(options)
    with Server(subject) as server:
        floor = Floor("rest", options, server.prepare_rest().expect)
    for _ in range(rounds):
        for variant in (subject, floor):
            with Server(variant) as server:
                server.prepare_rest().closed_rest("h2", 16, 8, 20_000)
                for protocol, connections, in_flight in REST_SHAPES:
                    requests = 30_000 if protocol == "h1" else 60_000
                    before = server.cpu_ns()
                    result = server.closed_rest(protocol, connections, in_flight, requests)
                    shape = f"{protocol} {connections}x{in_flight}"
                    figures.add(f"REST CPU us/request {shape}", variant, (server.cpu_ns() - before) / 1e3 / requests)
                    figures.add(f"REST requests/s {shape}", variant, result["per_second"])


def measure_oci(options, rounds, figures):
    """GET of one work request, unsigned and signed, against bare hyper answering as many bytes."""
    with tempfile.TemporaryDirectory() as directory:
        subject, signed = Opgate(options), Signed(options, directory)
        with Server(subject) as server:
            floor = Floor("rest", options, server.prepare_oci().expect)
        for _ in range(rounds):
            for variant in (subject, signed, floor):
                with Server(variant) as server:
                    server.prepare_oci().closed_oci("h2", 16, 8, 20_000)
                    for protocol, connections, in_flight in REST_SHAPES:
                        requests = 30_000 if protocol == "h1" else 60_000
                        before = server.cpu_ns()
                        result = server.closed_oci(protocol, connections, in_flight, requests)
                        shape = f"{protocol} {connections}x{in_flight}"
                        figures.add(f"OCI CPU us/get {shape}", variant, (server.cpu_ns() - before) / 1e3 / requests)
                        figures.add(f"OCI gets/s {shape}", variant, result["per_second"])


def measure_amqp(options, rounds, figures):
    """READ by AMQP of one operation, and of the node itself, against bare fe2o3-amqp answering as many bytes."""
    subject = Opgate(options)
    for read in ("operation", "node"):
        with Server(subject) as server:
            size = server.prepare_amqp(read).closed_amqp(1, 1, 1)["body_max"]
        floor = Floor("amqp", options, size)
        for _ in range(rounds):
            for variant in (subject, floor):
                with Server(variant) as server:
                    server.prepare_amqp(read).closed_amqp(8, 16, 20_000, size)
                    measure_amqp_shapes(server, variant, read, size, figures)


def measure_amqp_shapes(server, variant, read, size, figures):
    requests = 40_000  # so many that opening up to 64 connections, which is counted, is little of it
    for settled in (False, True):
        for connections, in_flight in AMQP_SHAPES:
            before = server.cpu_ns()
            result = server.closed_amqp(connections, in_flight, requests, size, settled)
            cpu = server.cpu_ns() - before
            shape = f"of {read} {connections}x{in_flight}" + (" settled" if settled else "")
            figures.add(f"AMQP CPU us/read {shape}", variant, cpu / 1e3 / requests)
            figures.add(f"AMQP reads/s {shape}", variant, result["per_second"])


def measure_amqp_idle(options, rounds, figures):
    """Memory of connections with a session and two links that do nothing."""
    for _ in range(rounds):
        for variant in (Opgate(options), Floor("amqp", options, REPLY_BYTES)):
            with Server(variant) as server:
                server.prepare_amqp().closed_amqp(8, 16, 2_000)
                server.settle()
                before = server.resident()
                command = server.amqp_command("amqp", "--hold", "--connections", IDLE_CONNECTIONS)
                with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
                    if "stage" not in json.loads(process.stdout.readline() or "{}"):
                        raise RuntimeError(f"{variant.name}: connections cannot be held")
                    server.settle()
                    grown = server.resident() - before
                    process.communicate("\n")
                figures.add("idle AMQP connection, session, 2 links KB", variant, grown / 1024 / IDLE_CONNECTIONS)


def measure_open(variants, rounds, figures, rate=20_000):
    for _ in range(rounds):
        for variant in variants:
            with Server(variant) as server:
                server.prepare().closed(8, 8, 20_000)
                result = server.load(OPERATIONS + "GetOperation", server.get, "open", "--rate", rate,
                                     "--requests", 2 * rate, expect=server.expect)
                figures.add(f"open {rate}/s p50 us", variant, result["p50_us"])
                figures.add(f"open {rate}/s p99 us", variant, result["p99_us"])


def hold(server, connections, waiters=0):
    """Yields after each stage; the last value is the result line."""
    pending = server.variant.start_pending(server) if waiters else ""
    command = server.load_command(
        OPERATIONS + "GetOperation", server.get, "hold", "--connections", connections, "--waiters", waiters,
        "--wait-message", named(pending, wait_seconds=300).hex(), "--release-message", named(pending).hex())
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        for _stage in range(3 if waiters else 2):
            if "stage" not in json.loads(process.stdout.readline() or "{}"):
                break
            server.settle()
            yield None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write("\n")
                process.stdin.flush()
        line, status = process.stdout.readline(), process.wait()
    if status != 0:
        raise RuntimeError(f"{server.variant.name}: hold failed: {line}")
    yield json.loads(line)


def measure_idle(variants, rounds, figures):
    for _ in range(rounds):
        for variant in variants:
            with Server(variant) as server:
                server.prepare()
                server.settle()
                before = server.resident()
                stages = hold(server, IDLE_CONNECTIONS)
                for figure in ("idle h2 connection KB", "the same after one request KB"):
                    next(stages)
                    figures.add(figure, variant, (server.resident() - before) / 1024 / IDLE_CONNECTIONS)
                next(stages)


def measure_waiters(variants, rounds, figures):
    for _ in range(rounds):
        for variant in variants:
            with Server(variant) as server:
                server.prepare()
                stages = hold(server, WAITER_CONNECTIONS, WAITERS)
                next(stages)
                next(stages)
                before = server.resident()
                next(stages)
                figures.add("pending waiter KB", variant, (server.resident() - before) / 1024 / WAITERS)
                cpu = server.cpu_ns()
                result = next(stages)
                figures.add("fan-out CPU us/waiter", variant, (server.cpu_ns() - cpu) / 1e3 / WAITERS)
                figures.add("fan-out last reply ms", variant, result["max_us"] / 1e3)


def measure_starts(options, rounds, figures):
    """Durable starts against bare commits of as many records on the same disk. No verdict: a start may journal
    more than one change, and here it pays for gRPC on the same core."""
    subject, log = Opgate(options), Floor("log", options, 0)
    for _ in range(rounds):
        command = ["taskset", "-c", SERVER_CORE, options.bin / "floor", "log", "--dir", options.data_root,
                   "--seconds", "1"]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        for line in map(json.loads, lines):
            figures.add(f"durable starts/s, {line['batch']} in flight", log, line["records_per_second"])
        with Server(subject) as server:
            for connections, in_flight in [(1, 1), (1, 16), (4, 16), (16, 64)]:
                requests = 3_000 if in_flight == 1 else 20_000
                result = server.load(SHOWCASE + "Echo", struct({"pad": "x" * 40}), "closed",
                                     "--connections", connections, "--in-flight", in_flight, "--requests", requests)
                figures.add(f"durable starts/s, {connections * in_flight} in flight", subject, result["per_second"])


def measure_nexus(options, rounds, figures):
    """Nexus starts that are durable and done when they are answered, against bare hyper answering as many bytes."""
    body = json.dumps({"pad": ""}).encode()
    body = json.dumps({"pad": "x" * (REPLY_BYTES - len(body))}).encode()
    subject, floor = Opgate(options), Floor("rest", options, REPLY_BYTES)
    for _ in range(rounds):
        for variant in (subject, floor):
            with Server(variant) as server:
                def start(protocol, connections, in_flight, requests):
                    return server.load("/nexus/showcase/echo", body, "closed", "--connections", connections, "--in-flight",
                                       in_flight, "--requests", requests, expect=REPLY_BYTES, protocol=protocol)

                start("h2", 4, 16, 5_000)
                for protocol, connections, in_flight in NEXUS_SHAPES:
                    requests = 3_000 if connections * in_flight == 1 else 20_000
                    before = server.cpu_ns()
                    result = start(protocol, connections, in_flight, requests)
                    shape = f"{protocol} {connections}x{in_flight}"
                    figures.add(f"Nexus CPU us/start {shape}", variant, (server.cpu_ns() - before) / 1e3 / requests)
                    figures.add(f"Nexus starts/s {shape}", variant, result["per_second"])


# --- the proxy: what a hop costs -----------------------------------------------------------------------------------

# By kind of backend: its further settings, the table of its routes, and for each route what that says and which direct
# calls it stands for: protocol, path, message, status. `now` is done when its start is answered, `later` at the first look.
GRPC = {"request_type": "google.protobuf.Struct"}
HOPS = {
    "longrunning": ({"poll_first": "1ms"}, "longrunning_call", {
        "now": (GRPC | {"method": "bench.v1.Upstream/Now"}, [("grpc", "/bench.v1.Upstream/Now", b"", 200)]),
        "later": (GRPC | {"method": "bench.v1.Upstream/Later"}, [
            ("grpc", "/bench.v1.Upstream/Later", b"", 200), ("grpc", OPERATIONS + "WaitOperation", b"", 200)]),
    }),
    "nexus": ({"completion": "poll", "poll_first": "1ms"}, "nexus", {
        "now": ({"service": "bench", "operation": "now"}, [("h1", "/nexus/bench/now", b"{}", 200)]),
        "later": ({"service": "bench", "operation": "later"}, [
            ("h1", "/nexus/bench/later", b"{}", 201), ("h1", "/nexus/bench/later/t/result", b"", 200)]),
    }),
    "oci": ({"signing": "none", "poll_first": "1ms"}, "oci", {
        "now": ({"request": "POST /20160918/now", "dialect": "identity"}, [("h1", "/20160918/now", b"{}", 200)]),
        "later": ({"request": "POST /20160918/later", "dialect": "identity"}, [
            ("h1", "/20160918/later", b"{}", 202),
            ("h1", "/20160918/workRequests/ocid1.benchworkrequest.oc1..0", b"", 200)]),
    }),
    "amqp": ({"reply": "paired"}, "amqp_call", {"now": ({"operation": "READ", "type": "bench"}, [])}),
}


def hop_settings(http, amqp):
    """The settings of opgate in front of these two upstreams."""
    lines = {}
    for kind, (keys, table, routes) in HOPS.items():
        endpoint = f"amqp://{amqp}" if kind == "amqp" else f"http://{http}" + ("/nexus" if kind == "nexus" else "")
        for key, value in {"kind": kind, "concurrency": 1000, "endpoint": endpoint, **keys}.items():
            lines[f"backends.{kind}.{key}"] = value
        for name, (call, _direct) in routes.items():
            route = {"service": "bench", "operation": f"{kind}-{name}", "backend": kind}
            for key, value in {**route, **{f"{table}.{key}": value for key, value in call.items()}}.items():
                lines[f"routes.{kind}-{name}.{key}"] = value
    slow = {"kind": "oci", "concurrency": 1000, "endpoint": f"http://{http}", "signing": "none",
            "poll_first": "20ms", "poll_longest": "50ms"}
    lines |= {f"backends.slow.{key}": value for key, value in slow.items()}
    after = {"service": "bench", "operation": "after", "backend": "slow", "oci.request": "POST /20160918/after",
             "oci.dialect": "identity"}
    lines |= {f"routes.after.{key}": value for key, value in after.items()}
    return [f"{key}={json.dumps(value)}" for key, value in lines.items()]


class Direct:
    """Calling the upstream without opgate, as a column of the table."""
    name = "direct"


def measure_proxy(options, rounds, figures):
    """What opgate adds to calling an upstream: operations from start to end through opgate's own API, against the
    calls of the upstream that they stand for. The upstreams do nothing, on the generator's core."""
    operations = options.operations
    for _ in range(rounds):
        with (Server(Floor("upstream", options, REPLY_BYTES), core=LOAD_CORE) as upstream,
              Server(Floor("amqp", options, REPLY_BYTES), core=LOAD_CORE) as node):
            subject = Opgate(options)
            subject.settings = hop_settings(upstream.address, node.address)
            with Server(subject) as server:
                hops = [("showcase", "now", "showcase-echo", None)]
                hops += [(kind, name, f"{kind}-{name}", direct) for kind, (_, _, routes) in HOPS.items()
                         for name, (_, direct) in routes.items()]
                for kind, name, route, calls in hops:
                    measure_hop(server, upstream, node, f"{kind} {name}", route, calls, operations, figures)
                for watchers in LOOK_WATCHERS:
                    figures.add(f"looks upstream in 1 s, {watchers} watching", subject, looks(server, upstream, watchers))


def measure_hop(server, upstream, node, what, route, calls, operations, figures):
    server.through(route, 4, max(1, operations // 4))
    for connections in (1, 16):
        before = server.cpu_ns()
        result = server.through(route, connections, operations)
        cpu = (server.cpu_ns() - before) / 1e3 / operations
        figures.add(f"{what}: CPU us/operation, {connections} at once", server.variant, cpu)
        if connections == 1:
            p50 = result["p50_us"]
        else:
            figures.add(f"{what}: operations/s, {connections} at once", server.variant, result["per_second"])
    figures.add(f"{what}: p50 us", server.variant, p50)
    if calls is None:
        return
    over = node if not calls else upstream
    before, direct = over.cpu_ns(), 0
    for protocol, path, message, status in calls:
        direct += upstream.load(path, message, "closed", "--connections", 1, "--in-flight", 1, "--requests", operations,
                                protocol=protocol, status=status)["p50_us"]
    if not calls:
        node.identity = ""
        direct = node.closed_amqp(1, 1, operations)["p50_us"]
    figures.add(f"{what}: p50 us", Direct, direct)
    figures.add(f"{what}: CPU us/operation, 1 at once", Direct, (over.cpu_ns() - before) / 1e3 / operations)
    figures.add(f"{what}: added p50 us", server.variant, p50 - direct)


def looks(server, upstream, watchers):
    """How often an upstream is looked at while an operation of a second runs that so many wait for."""
    def count():
        return int(bytes.fromhex(upstream.load("/looks", b"", "call", protocol="h1")["body"]))

    before = count()
    start = json.dumps({"route": "after", "input": {"json": {}}}).encode()
    started = json.loads(bytes.fromhex(server.load("/opgate/v1/operations", start, "call", protocol="h1")["body"]))
    waited = server.load(f"/opgate/v1/operations/{started['id']}:wait?timeout=30s", b"", "closed", "--connections",
                         watchers, "--in-flight", 1, "--requests", watchers, protocol="h1")
    if waited["p50_us"] < 100_000:
        raise RuntimeError("nobody had to wait")
    return count() - before


def measure_syscalls(variants, figures, notes):
    for variant in variants:
        with Server(variant) as server:
            server.prepare().closed(16, 8, 5_000)
            for connections, in_flight in SHAPES:
                requests = 5_000 if in_flight == 1 else 40_000
                count = perf_syscalls if shutil.which("perf") else strace_syscalls
                calls = count(server, connections, in_flight, requests)
                if calls is None:
                    notes.append("syscalls: skipped, neither perf tracepoints nor strace work here")
                    return
                figures.add(f"syscalls/request {connections}x{in_flight}", variant, calls / requests)


def perf_syscalls(server, connections, in_flight, requests):
    with tempfile.NamedTemporaryFile("r") as out:
        wrapper = ["perf", "stat", "-x,", "-o", out.name, "-e", "raw_syscalls:sys_enter", "-p", str(server.pid), "--"]
        try:
            server.closed(connections, in_flight, requests, wrapper=wrapper)
        except RuntimeError:
            return strace_syscalls(server, connections, in_flight, requests)
        counted = re.search(r"^(\d+),,raw_syscalls:sys_enter", out.read(), re.MULTILINE)
        return int(counted[1]) if counted else strace_syscalls(server, connections, in_flight, requests)


def strace_syscalls(server, connections, in_flight, requests):
    if not shutil.which("strace"):
        return None
    with tempfile.NamedTemporaryFile("r") as out:
        tracer = subprocess.Popen(["strace", "-f", "-c", "-o", out.name, "-p", str(server.pid)],
                                  stderr=subprocess.PIPE, text=True)
        if "attached" not in tracer.stderr.readline():
            tracer.terminate()
            tracer.wait()
            return None
        server.closed(connections, in_flight, requests)
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        total = re.search(r"^\s*100\.00\s+\S+\s+(?:\d+\s+)?(\d+)\s+(?:\d+\s+)?total$", out.read(), re.MULTILINE)
        return int(total[1]) if total else None


VALGRIND = {
    "allocations/request": (["--tool=dhat", "--dhat-out-file=/dev/null"], r"Total:\s+[\d,]+ bytes in ([\d,]+) blocks"),
    "instructions/request": (["--tool=callgrind", "--callgrind-out-file=/dev/null"], r"Collected : (\d+)"),
}


def measure_valgrind(variants, figures, notes):
    """Counts of two run lengths subtracted: what starting and stopping costs falls out."""
    if not shutil.which("valgrind"):
        notes.append("allocations and instructions: skipped, there is no valgrind")
        return
    short, long = 1_000, 4_000
    for figure, (arguments, pattern) in VALGRIND.items():
        for variant in variants:
            counts = []
            for requests in (short, long):
                with tempfile.TemporaryFile("w+") as log:
                    with Server(variant, wrapper=["valgrind", *arguments], log=log) as server:
                        server.prepare().closed(1, 16, requests)
                    log.seek(0)
                    counted = re.search(pattern, log.read())
                if counted:
                    counts.append(int(counted[1].replace(",", "")))
            if len(counts) == 2 and counts[1] > counts[0]:
                figures.add(figure, variant, (counts[1] - counts[0]) / (long - short))
            else:
                notes.append(f"{figure}: skipped for {variant.name}, valgrind counted none (its own allocator?)")


# --- verdict -------------------------------------------------------------------------------------------------------

#        goal,  figure, against (None: the value itself), limit
GOALS = [("G1", "CPU us/request 16x8", "stock", 0.45), ("G1", "CPU us/request 1x128", "stock", 0.40),
         ("G1", "CPU us/request 1x1", "stock", 1.00), ("G2", "CPU us/request 16x8", "raw", 1.30),
         ("G2", "CPU us/request 1x128", "raw", 1.30), ("G2", "CPU us/request 1x1", "raw", 1.10),
         ("G3", "REST CPU us/request h1 16x1", "rest", 1.15), ("G3", "REST CPU us/request h1 128x1", "rest", 1.15),
         ("G4", "REST CPU us/request h2 16x8", "rest", 0.60), ("G4", "REST CPU us/request h2 1x128", "rest", 0.50),
         *(("G5", f"AMQP CPU us/read of {read} {shape}", "amqp", limit) for read in ("node", "operation")
           for shape, limit in (("1x1", 1.00), ("8x1", 1.00), ("64x1", 1.00), ("1x16", 0.80), ("1x128", 0.70))),
         ("G7", "open 20000/s p50 us", "stock", 1.15), ("G7", "open 20000/s p99 us", "framing", 1.5),
         ("G8", "idle h2 connection KB", None, 20.0), ("G8", "pending waiter KB", None, 4.0),
         ("G8", "pending waiter KB", "stock", 0.7), ("G8", "idle AMQP connection, session, 2 links KB", None, 110.0),
         ("G9", "fan-out CPU us/waiter", "stock", 0.45), ("G9", "fan-out last reply ms", "stock", 0.5),
         ("G10", "allocations/request", None, 12.0), ("G10", "instructions/request", "raw", 1.20),
         *(("G10", f"syscalls/request {c}x{m}", "raw", 1.05) for c, m in SHAPES)]


def ratio(rows, subject, against):
    """Median of the ratios of each round: what drifts between rounds falls out."""
    pairs = [pair for pair in zip(rows.get(subject, []), rows.get(against, [])) if pair[1] > 0]
    return statistics.median(ours / theirs for ours, theirs in pairs) if pairs else None


def table(figures, subject):
    names = list(dict.fromkeys(name for rows in figures.values() for name in rows))
    others = [name for name in names if name != subject]
    print(f"\n{'median':48}" + "".join(f"{name:>14}" for name in names)
          + "".join(f"{'/ ' + name:>14}" for name in others))
    for figure, rows in figures.items():
        line = f"{figure:48}"
        for name in names:
            line += f"{statistics.median(rows[name]):14,.2f}" if name in rows else f"{'-':>14}"
        for name in others:
            value = ratio(rows, subject, name)
            line += f"{value:14.3f}" if value is not None else f"{'-':>14}"
        print(line)


def verdicts(figures, subject):
    results = []
    for goal, figure, against, limit in GOALS:
        rows = figures.get(figure, {})
        if against is None:
            value = statistics.median(rows[subject]) if subject in rows else None
        else:
            value = ratio(rows, subject, against)
        if value is not None:
            label = figure if against is None else f"{figure} / {against}"
            results.append({"goal": goal, "what": label, "value": value, "limit": limit, "pass": value <= limit})
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument("--opgate", type=Path, help="the opgate binary to measure")
    subject.add_argument("--subject-floor", help="measure this floor as the subject instead, to try the runner")
    parser.add_argument("--bin", type=Path, required=True, help="directory of the binaries load and floor")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="closed,rest,oci,amqp,open,idle,amqp-idle,waiters,starts,nexus,proxy,syscalls,valgrind",
                        help="comma-separated measurements (default: all)")
    parser.add_argument("--operations", type=int, default=2_000, help="operations of each figure of `proxy`")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="further opgate settings")
    parser.add_argument("--data-root", default="/var/tmp", help="directory on the disk to measure")
    parser.add_argument("--json", type=Path, help="where the results go (default: compare.json beside the binaries)")
    options = parser.parse_args()
    only = options.only.split(",")

    size = REPLY_BYTES
    if options.opgate:
        subject = Opgate(options)
        with Server(subject) as server:
            size = server.prepare().expect - GRPC_PREFIX
    else:
        subject = Floor(options.subject_floor, options, size, name="subject")
    stock, raw, framing = (Floor(name, options, size) for name in ("stock", "raw", "framing"))
    print(f"subject {subject.name}, reply of {size} bytes, {options.rounds} rounds, load {os.getloadavg()}", flush=True)

    figures, notes = Figures(), []
    fewer = max(1, options.rounds // 2)
    plan = {
        "closed": lambda: measure_closed([subject, stock, raw], options.rounds, figures),
        "rest": lambda: measure_rest(options, options.rounds, figures) if options.opgate else None,
        "oci": lambda: measure_oci(options, fewer, figures) if options.opgate else None,
        "amqp": lambda: measure_amqp(options, options.rounds, figures) if options.opgate else None,
        "amqp-idle": lambda: measure_amqp_idle(options, fewer, figures) if options.opgate else None,
        "open": lambda: measure_open([subject, stock, framing], options.rounds, figures),
        "idle": lambda: measure_idle([subject, stock, raw], fewer, figures),
        "waiters": lambda: measure_waiters([subject, stock, raw], options.rounds, figures),
        "starts": lambda: measure_starts(options, fewer, figures) if options.opgate else None,
        "nexus": lambda: measure_nexus(options, fewer, figures) if options.opgate else None,
        "proxy": lambda: measure_proxy(options, options.rounds, figures) if options.opgate else None,
        "syscalls": lambda: measure_syscalls([subject, stock, raw], figures, notes),
        "valgrind": lambda: measure_valgrind([subject, stock, raw], figures, notes),
    }
    for name, measure in plan.items():
        if name in only:
            print(f"measuring {name}", file=sys.stderr, flush=True)
            measure()
    table(figures, subject.name)
    results = verdicts(figures, subject.name)
    print()
    for result in results:
        print(f"{'PASS' if result['pass'] else 'FAIL'}  {result['goal']:4} {result['what']:44} "
              f"{result['value']:8.3f}  limit {result['limit']:g}")
    for note in notes:
        print(note)
    path = options.json or options.bin / "compare.json"
    path.write_text(json.dumps({"subject": subject.name, "reply_bytes": size, "load_average": os.getloadavg(),
                                "figures": figures, "goals": results, "notes": notes}, indent=1))
    print(f"written to {path}")


if __name__ == "__main__":
    main()

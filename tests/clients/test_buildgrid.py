"""BuildGrid's own command line against opgate: what it can do without build metadata."""

import os
import subprocess

from google.rpc import code_pb2

from showcase import until


def bgd(http_address: str, *arguments: str) -> subprocess.CompletedProcess:
    command = [os.environ["OPGATE_BGD"], "operation", "--remote", f"http://{http_address}"]
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_bgd_cancels_an_operation(http_address, client, held):
    ran = bgd(http_address, "cancel", held.name)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    ended = until(lambda: client.get_operation(held.name), lambda operation: operation.done)
    assert ended.error.code == code_pb2.CANCELLED


def test_bgd_is_told_that_there_is_no_such_operation(http_address):
    ran = bgd(http_address, "cancel", "main/01arz3ndektsv4rrffq69g5fav")
    assert ran.returncode != 0
    assert "no such operation" in ran.stdout + ran.stderr

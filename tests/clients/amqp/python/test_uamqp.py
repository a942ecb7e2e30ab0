"""uamqp's MgmtOperation and MgmtOperationAsync, which speak TLS only: see uamqp_calls.py."""

import json
import pathlib
import re
import subprocess
import sys

CALLS = pathlib.Path(__file__).with_name("uamqp_calls.py")


def run(calls: str):
    """What these calls said, within a time that is ample: where the library does not trust the certificate
    of the daemon it waits for a connection for ever."""
    ended = subprocess.run(
        [sys.executable, CALLS, calls], capture_output=True, text=True, timeout=180
    )
    assert ended.returncode == 0, (ended.returncode, ended.stdout, ended.stderr)
    # The library logs failures, and takes a good reply for one that comes before its request was settled.
    assert not re.search(r"Failed to complete mgmt operation.\nStatus code: 2", ended.stderr)
    return json.loads(ended.stdout)


def test_an_operation_lives_and_ends():
    said = run("lifetime")
    status = {call: answer[0] for call, answer in said.items()}
    assert status == {
        "start": 202,
        "READ str": 200,
        "READ bytes": 200,
        "CANCEL str": 200,
        "WAIT str": 200,
        "DELETE str": 204,
        "READ str!": 404,
        "READ bytes!": 404,
        "unknown": 501,
        "bad": 400,
    }
    identity = said["start"][2]["identity"]
    assert said["READ str"][2]["identity"] == said["READ bytes"][2]["identity"] == identity
    assert said["WAIT str"][2]["state"] == "CANCELED"
    assert "duration" in said["bad"][1]


def test_either_spelling_of_the_status_is_there():
    first, second = run("spellings")
    assert first == second
    assert first[0] == 404 and first[1]


def test_one_pair_of_links_serves_many_requests():
    assert run("many") == [200] * 500


def test_nodes_share_a_connection():
    assert [answer[0] for answer in run("nodes")] == [202, 202, 202]


def test_a_connection_may_be_idle():
    before, after = run("beats")
    assert (before[0], after[0]) == (202, 200)


def test_over_asyncio():
    said = run("asynchronous")
    assert (said["start"][0], said["cancel"][0], said["absent"][0]) == (202, 200, 404)
    assert [read[0] for read in said["reads"]] == [200] * 8


def test_a_token_is_taken():
    assert run("token")[0] == 202


def test_a_wrong_password_is_refused():
    said = run("refused")
    assert said, "it was let in"

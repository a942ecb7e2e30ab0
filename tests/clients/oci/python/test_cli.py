"""Oracle's command line, which always signs: what it prints and how it exits."""

import configparser
import json
import os
import pathlib
import subprocess
import sys

import pytest
from oci.identity import IdentityClient
from oci.identity.models import MoveCompartmentDetails

from gateway import TENANCY

ABSENT = f"ocid1.identityworkrequest.oc1..{'a' * 60}"


class Cli:
    """The command line with a configuration of its own; it takes three seconds to start."""

    def __init__(self, gateway, directory: pathlib.Path):
        self.gateway = gateway
        self.configuration = directory / "config"
        parser = configparser.ConfigParser()
        parser["DEFAULT"] = gateway.config("alice")
        with self.configuration.open("w") as file:
            parser.write(file)
        self.configuration.chmod(0o600)

    def __call__(self, *arguments, prefix="", code=0):
        """Runs it beneath a prefix, to this exit code; its output as JSON, and standard error."""
        program = pathlib.Path(sys.executable).with_name("oci")
        options = ["--config-file", self.configuration, "--cli-rc-file", os.devnull]
        ended = subprocess.run(
            [program, *options, "--endpoint", self.gateway.endpoint(prefix), *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            # A home of its own, so that nothing of the user's counts.
            env={**os.environ, "HOME": str(self.configuration.parent)},
        )
        assert ended.returncode == code, ended.stdout + ended.stderr
        output = json.loads(ended.stdout) if ended.stdout.startswith("{") else ended.stdout
        return output, ended.stderr


@pytest.fixture
def oci(signed, tmp_path) -> Cli:
    return Cli(signed, tmp_path)


WAIT = ["--wait-interval-seconds", "1", "--max-wait-seconds", "60"]


def delete(compartment, *states):
    waits = [part for state in states for part in ("--wait-for-state", state)]
    return ["iam", "compartment", "delete", "--force", "--compartment-id", compartment, *waits]


def test_a_compartment_is_deleted_and_waited_for(oci, compartment):
    output, said = oci(*delete(compartment, "SUCCEEDED"), *WAIT)
    assert "Waiting until the work request has entered state" in said
    data = output["data"]
    assert data["status"] == "SUCCEEDED"
    assert data["operation-type"] == "DELETE_COMPARTMENT"
    assert data["resources"][0]["identifier"] == compartment
    assert data["percent-complete"] == 100
    got, _ = oci("iam", "work-request", "get", "--work-request-id", data["id"])
    assert got["data"] == data
    listed, _ = oci("iam", "work-request", "list", "--compartment-id", compartment)
    assert [one["id"] for one in listed["data"]] == [data["id"]]


def test_a_failure_that_is_waited_for_is_shown_with_its_reason(oci, compartment):
    output, _ = oci(*delete(compartment, "SUCCEEDED", "FAILED"), *WAIT, prefix="/failing")
    assert output["data"]["status"] == "FAILED"
    assert output["data"]["errors"][0]["message"] == "the compartment is not empty"


def test_without_a_wait_it_returns_at_once_and_a_wait_too_short_exits_with_2(oci, compartment):
    output, _ = oci(*delete(compartment), prefix="/held")
    work_request = output["opc-work-request-id"]
    short = ["--wait-interval-seconds", "1", "--max-wait-seconds", "1"]
    # The same work request again: the compartment is still being deleted.
    output, said = oci(*delete(compartment, "SUCCEEDED"), *short, prefix="/held", code=2)
    assert output["opc-work-request-id"] == work_request
    assert "Failed to wait" in said


def test_what_is_not_there_exits_with_1_and_its_code(oci):
    _, said = oci("iam", "work-request", "get", "--work-request-id", ABSENT, code=1)
    error = json.loads(said.split("ServiceError:", 1)[1])
    assert (error["status"], error["code"]) == (404, "NotAuthorizedOrNotFound")
    assert "/" in error["opc-request-id"]


def test_lists_are_paged(signed, oci, compartment):
    client = signed.client(IdentityClient)
    target = MoveCompartmentDetails(target_compartment_id=TENANCY)
    for _ in range(3):
        client.move_compartment(compartment, target)
    listing = ["iam", "work-request", "list", "--compartment-id", compartment]
    everything, _ = oci(*listing, "--all", "--page-size", "2")
    assert len({one["id"] for one in everything["data"]}) == 3
    first, _ = oci(*listing, "--limit", "2")
    rest, _ = oci(*listing, "--limit", "2", "--page", first["opc-next-page"])
    assert [one["id"] for one in first["data"] + rest["data"]] == [
        one["id"] for one in everything["data"]
    ]
    assert "opc-next-page" not in rest


def test_a_signature_that_nobody_asks_for_does_no_harm(unsigned, tmp_path, compartment):
    oci = Cli(unsigned, tmp_path)
    started, _ = oci(*delete(compartment))
    listed, _ = oci("iam", "work-request", "list", "--compartment-id", TENANCY, "--limit", "1000")
    assert started["opc-work-request-id"] in [one["id"] for one in listed["data"]]

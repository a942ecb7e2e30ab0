"""OCI work requests, by the SDK: a cache of redis is created, and what is to be done is among its tags."""

import uuid

import oci
from oci.exceptions import ServiceError
from oci.redis import RedisClusterClient
from oci.redis.models import CreateRedisClusterDetails

from faces.shown import PATIENCE, present

COMPARTMENT = "ocid1.compartment.oc1..matrix"
# What the SDK asks for although nothing is signed.
CONFIG = {
    "tenancy": "ocid1.tenancy.oc1..main",
    "user": "ocid1.user.oc1..matrix",
    "fingerprint": "20:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:34",
    "key_file": "none",
    "region": "us-phoenix-1",
}
PREFIXES = {"work": "", "brief": "/brief"}
STATES = {
    "ACCEPTED": "running",
    "IN_PROGRESS": "running",
    "CANCELING": "running",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "CANCELED": "canceled",
}


class Unsigned(oci.signer.AbstractBaseSigner):
    """Sends requests as they are."""

    def __init__(self):
        pass

    def __call__(self, request, enforce_content_headers=True):
        return request


class Face:
    def connect(self, http: str, amqp: str) -> None:
        self.address = http
        self.clients = {kind: self.client(kind) for kind in PREFIXES}

    def client(self, kind: str) -> RedisClusterClient:
        endpoint = f"http://{self.address}{PREFIXES[kind]}"
        return RedisClusterClient(CONFIG, signer=Unsigned(), service_endpoint=endpoint)

    def start(self, kind: str, input: dict, key: str, trace: dict) -> dict:
        cache = CreateRedisClusterDetails(
            compartment_id=COMPARTMENT,
            display_name="cache",
            node_count=1,
            node_memory_in_gbs=2.0,
            software_version="VALKEY_7_2",
            subnet_id="ocid1.subnet.oc1..s",
            defined_tags={"matrix": input},
        )
        # A token is of 64 characters at most.
        token = str(uuid.uuid5(uuid.NAMESPACE_URL, key))
        # Its calls take no headers of other kinds; its session does, as tracing libraries put them there.
        client = self.client(kind)
        client.base_client.session.headers.update(trace)
        made = client.create_redis_cluster(cache, opc_retry_token=token)
        return self.read([kind, made.headers["opc-work-request-id"]])

    def read(self, name: list) -> dict:
        kind, ocid = name
        return self.shown(name, self.clients[kind].get_work_request(ocid).data)

    def wait(self, name: list) -> dict:
        kind, ocid = name
        client = self.clients[kind]
        over = oci.wait_until(
            client,
            client.get_work_request(ocid),
            evaluate_response=lambda now: now.data.time_finished is not None,
            max_interval_seconds=1,
            max_wait_seconds=PATIENCE,
        )
        return self.shown(name, over.data)

    def cancel(self, name: list) -> None:
        kind, ocid = name
        try:
            self.clients[kind].cancel_work_request(ocid)
        except ServiceError as error:
            # It was over before, which is how this face says so.
            if (error.status, error.code) != (409, "Conflict"):
                raise

    def shown(self, name: list, request) -> dict:
        kind, ocid = name
        errors = self.clients[kind].list_work_request_errors(ocid).data.items
        logs = self.clients[kind].list_work_request_logs(ocid, sort_order="ASC").data.items
        state = STATES[request.status]
        failed = state in ("failed", "canceled") and errors
        return present(
            name=name,
            done=request.time_finished is not None,
            state=state,
            error={"code": errors[0].code, "message": errors[0].message} if failed else None,
            percent=request.percent_complete,
            log=[entry.message for entry in logs],
            resources=[
                {"type": r.entity_type, "action": r.action_type, "identifier": r.identifier}
                for r in request.resources
            ],
        )

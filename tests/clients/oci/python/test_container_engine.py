"""The container engine's client: bare lists with filters, errors and logs apart, a cancel."""

import uuid

import oci
import pytest
from oci.container_engine import ContainerEngineClient, ContainerEngineClientCompositeOperations
from oci.container_engine.models import CreateClusterDetails, UpdateClusterDetails
from oci.exceptions import ServiceError

from gateway import Count, until

VCN = "ocid1.vcn.oc1..v"


def create(client, compartment, name="c"):
    details = CreateClusterDetails(
        compartment_id=compartment, name=name, vcn_id=VCN, kubernetes_version="v1.34.1"
    )
    return client.create_cluster(details).headers["opc-work-request-id"]


def held(gateway, compartment):
    """One that runs until it is canceled, and the client that sees it."""
    client = gateway.client(ContainerEngineClient, "/held")
    work_request = create(client, compartment)
    until(
        lambda: client.get_work_request(work_request).data.status,
        lambda status: status == "IN_PROGRESS",
    )
    return client, work_request


def test_a_cluster_is_created_and_named_while_it_is(gateway, compartment):
    client = gateway.client(ContainerEngineClient)
    work_request = create(client, compartment)
    assert work_request.startswith("ocid1.containerengineworkrequest.oc1.")
    started = client.get_work_request(work_request)
    # Terraform reads the cluster's id right after the create, and looks for "cluster" in the type.
    [resource] = started.data.resources
    assert resource.entity_type == "cluster"
    cluster = resource.identifier
    assert cluster.startswith("ocid1.cluster.oc1..")
    assert started.headers["etag"]
    end = oci.wait_until(client, started, "status", "SUCCEEDED").data
    assert end.operation_type == "CLUSTER_CREATE"
    [resource] = end.resources
    assert (resource.action_type, resource.identifier) == ("CREATED", cluster)
    assert client.list_work_request_errors(compartment, work_request).data == []
    logs = client.list_work_request_logs(compartment, work_request).data
    assert [entry.message for entry in logs] == ["step 1 of 2", "step 2 of 2"]


def test_the_composite_operation_waits(gateway, compartment):
    client = gateway.client(ContainerEngineClient)
    operations = ContainerEngineClientCompositeOperations(client)
    details = CreateClusterDetails(
        compartment_id=compartment, name="c", vcn_id=VCN, kubernetes_version="v1.34.1"
    )
    waited = operations.create_cluster_and_wait_for_state(
        details, wait_for_states=["SUCCEEDED", "FAILED", "CANCELED"]
    )
    assert waited.data.status == "SUCCEEDED"


def test_clusters_are_updated_and_deleted(gateway):
    client = gateway.client(ContainerEngineClient)
    cluster = f"ocid1.cluster.oc1..{uuid.uuid4().hex}"
    updated = client.update_cluster(cluster, UpdateClusterDetails(name="d")).headers
    deleted = client.delete_cluster(cluster).headers
    for headers, operation, action in (
        (updated, "CLUSTER_UPDATE", "UPDATED"),
        (deleted, "CLUSTER_DELETE", "DELETED"),
    ):
        read = client.get_work_request(headers["opc-work-request-id"])
        end = oci.wait_until(client, read, "status", "SUCCEEDED").data
        assert end.operation_type == operation
        [resource] = end.resources
        assert (resource.action_type, resource.identifier) == (action, cluster)


def test_lists_are_filtered_and_sorted(gateway, compartment):
    client = gateway.client(ContainerEngineClient)
    done = [create(client, compartment, name) for name in ("a", "b")]
    for work_request in done:
        oci.wait_until(client, client.get_work_request(work_request), "status", "SUCCEEDED")
    holding, running = held(gateway, compartment)

    def listed(**filters):
        return [one.id for one in client.list_work_requests(compartment, **filters).data]

    assert sorted(listed()) == sorted([*done, running])
    assert listed(status=["IN_PROGRESS"]) == [running]
    assert sorted(listed(status=["IN_PROGRESS", "SUCCEEDED"])) == sorted([*done, running])
    assert listed(status=["CANCELED", "FAILED"]) == []
    by_time = {"sort_by": "TIME_ACCEPTED"}
    assert listed(**by_time, sort_order="ASC") == [*done, running]
    assert listed(**by_time, sort_order="DESC") == [running, *done[::-1]]
    by_status = [
        one.status
        for one in client.list_work_requests(compartment, sort_by="STATUS", sort_order="ASC").data
    ]
    assert by_status == ["IN_PROGRESS", "SUCCEEDED", "SUCCEEDED"]
    cluster = client.get_work_request(done[0]).data.resources[0].identifier
    assert listed(resource_id=cluster) == [done[0]]
    assert listed(cluster_id=cluster) == [done[0]]
    assert sorted(listed(resource_type="CLUSTER")) == sorted([*done, running])
    assert listed(resource_type="NODEPOOL") == []
    holding.delete_work_request(running)


def test_a_running_one_is_canceled(gateway, compartment):
    client, work_request = held(gateway, compartment)
    etag = client.get_work_request(work_request).headers["etag"]
    with pytest.raises(ServiceError) as stale:
        client.delete_work_request(work_request, if_match="another")
    assert (stale.value.status, stale.value.code) == (412, "NoEtagMatch")
    canceled = client.delete_work_request(work_request, if_match=etag)
    assert 200 <= canceled.status < 300
    read = client.get_work_request(work_request)
    end = oci.wait_until(client, read, "status", "CANCELED").data
    assert end.time_finished is not None
    assert end.resources[0].action_type == "CANCELED_CREATE"


def test_canceling_what_has_ended_fails_once(gateway, compartment):
    client = gateway.client(ContainerEngineClient)
    work_request = create(client, compartment)
    oci.wait_until(client, client.get_work_request(work_request), "status", "SUCCEEDED")
    count = Count(client)
    with pytest.raises(ServiceError) as refused:
        client.delete_work_request(work_request)
    assert (refused.value.status, refused.value.code) == (409, "Conflict")
    # IncorrectState would have kept it repeating for a minute and a half.
    assert count.statuses == [409]


def test_a_retry_token_creates_one_cluster(gateway, compartment):
    client = gateway.client(ContainerEngineClient)
    details = CreateClusterDetails(
        compartment_id=compartment, name="once", vcn_id=VCN, kubernetes_version="v1.34.1"
    )
    token = compartment[-20:]
    ids = {
        client.create_cluster(details, opc_retry_token=token).headers["opc-work-request-id"]
        for _ in range(3)
    }
    assert len(ids) == 1
    assert len(client.list_work_requests(compartment).data) == 1

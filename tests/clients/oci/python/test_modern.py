"""Services of the modern kind, whose lists are objects with items: redis, and queue without cancel."""

import oci
import pytest
from oci.exceptions import ServiceError
from oci.lustre_file_storage import LustreFileStorageClient
from oci.queue import QueueAdminClient
from oci.queue.models import CreateQueueDetails
from oci.redis import RedisClusterClient, RedisClusterClientCompositeOperations
from oci.redis.models import CreateRedisClusterDetails

from gateway import Count, until


def cache(compartment):
    return CreateRedisClusterDetails(
        compartment_id=compartment,
        display_name="cache",
        node_count=1,
        node_memory_in_gbs=2.0,
        software_version="VALKEY_7_2",
        subnet_id="ocid1.subnet.oc1..s",
    )


def create(client, compartment):
    return client.create_redis_cluster(cache(compartment)).headers["opc-work-request-id"]


def test_a_cache_is_created(gateway, compartment):
    client = gateway.client(RedisClusterClient)
    waited = RedisClusterClientCompositeOperations(client).create_redis_cluster_and_wait_for_state(
        cache(compartment), wait_for_states=["SUCCEEDED", "FAILED"]
    )
    end = waited.data
    assert (end.status, end.percent_complete) == ("SUCCEEDED", 100)
    assert end.operation_type == "CREATE_REDIS_CLUSTER"
    assert end.id.startswith("ocid1.redisworkrequest.oc1.")
    [resource] = end.resources
    assert (resource.action_type, resource.entity_type) == ("CREATED", "rediscluster")
    # Services have two names for the one order of entries; any of them reads any work request.
    for kind, order in ((RedisClusterClient, "timeAccepted"), (LustreFileStorageClient, "timestamp")):
        reader = gateway.client(kind)
        logs = reader.list_work_request_logs(end.id, sort_by=order, sort_order="ASC").data.items
        assert [entry.message for entry in logs] == ["step 1 of 2", "step 2 of 2"]
        logs = reader.list_work_request_logs(end.id, sort_by=order, sort_order="DESC").data.items
        assert [entry.message for entry in logs] == ["step 2 of 2", "step 1 of 2"]
        assert reader.list_work_request_errors(end.id, sort_by=order).data.items == []


def test_lists_take_their_filters(gateway, compartment):
    client = gateway.client(RedisClusterClient)
    ids = [create(client, compartment) for _ in range(3)]
    for work_request in ids:
        oci.wait_until(client, client.get_work_request(work_request), "status", "SUCCEEDED")

    def listed(**filters):
        collection = client.list_work_requests(compartment_id=compartment, **filters).data
        return [one.id for one in collection.items]

    assert sorted(listed()) == sorted(ids)
    assert listed(sort_by="timeAccepted", sort_order="ASC") == ids
    assert listed(sort_by="timeAccepted", sort_order="DESC") == ids[::-1]
    assert listed(work_request_id=ids[1]) == [ids[1]]
    assert sorted(listed(status="SUCCEEDED")) == sorted(ids)
    assert listed(status="IN_PROGRESS") == []
    resource = client.get_work_request(ids[2]).data.resources[0].identifier
    assert listed(resource_id=resource) == [ids[2]]
    # By its id alone, without a compartment.
    alone = client.list_work_requests(work_request_id=ids[0]).data.items
    assert [one.id for one in alone] == [ids[0]]


def test_it_is_canceled(gateway, compartment):
    client = gateway.client(RedisClusterClient, "/held")
    work_request = create(client, compartment)
    until(
        lambda: client.get_work_request(work_request).data.status,
        lambda status: status == "IN_PROGRESS",
    )
    assert client.cancel_work_request(work_request).status in (200, 202, 204)
    read = client.get_work_request(work_request)
    end = oci.wait_until(client, read, "status", "CANCELED").data
    assert end.time_finished is not None
    count = Count(client)
    with pytest.raises(ServiceError) as refused:
        client.cancel_work_request(work_request)
    assert (refused.value.status, refused.value.code) == (409, "Conflict")
    assert count.statuses == [409]


def test_a_service_shows_its_own_kinds_alone(gateway, compartment):
    caches = gateway.client(RedisClusterClient)
    queues = gateway.client(QueueAdminClient)
    created = create(caches, compartment)
    details = CreateQueueDetails(compartment_id=compartment, display_name="q")
    queue = queues.create_queue(details).headers["opc-work-request-id"]
    oci.wait_until(queues, queues.get_work_request(queue), "status", "SUCCEEDED")
    listed = queues.list_work_requests(compartment_id=compartment).data.items
    assert [one.id for one in listed] == [queue]
    listed = caches.list_work_requests(compartment_id=compartment).data.items
    assert [one.id for one in listed] == [created]
    logs = queues.list_work_request_logs(queue).data.items
    assert len(logs) == 2

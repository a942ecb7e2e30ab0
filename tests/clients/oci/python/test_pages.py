"""Lists over several pages, by the SDK's own helpers."""

import oci
import pytest
from oci.container_engine import ContainerEngineClient
from oci.exceptions import ServiceError
from oci.identity import IdentityClient
from oci.identity.models import MoveCompartmentDetails
from oci.redis import RedisClusterClient
from oci.work_requests import WorkRequestClient

from gateway import Count
from test_container_engine import create as create_cluster
from test_modern import create as create_cache

MANY = 7


@pytest.fixture
def moved(gateway, compartment) -> list[str]:
    """Work requests of one compartment, the newest first."""
    client = gateway.client(IdentityClient)
    target = MoveCompartmentDetails(target_compartment_id=f"{compartment}target")
    started = [client.move_compartment(compartment, target) for _ in range(MANY)]
    return [one.headers["opc-work-request-id"] for one in reversed(started)]


def ids(records) -> list[str]:
    return [record.id for record in records]


@pytest.mark.parametrize("limit", [1, 2, MANY - 1, MANY, 1000])
def test_all_results_come_whatever_the_page(gateway, compartment, moved, limit):
    client = gateway.client(IdentityClient)
    count = Count(client)
    everything = oci.pagination.list_call_get_all_results(
        client.list_work_requests, compartment, limit=limit
    )
    assert ids(everything.data) == moved
    # The last page says that it is: nothing is asked for beyond it.
    assert everything.next_page is None
    assert len(count.statuses) <= MANY // limit + 1


@pytest.mark.parametrize(("wanted", "page"), [(5, 2), (MANY, 3), (100, 4)])
def test_as_many_come_as_are_wanted(gateway, compartment, moved, wanted, page):
    client = gateway.client(WorkRequestClient)
    some = oci.pagination.list_call_get_up_to_limit(
        client.list_work_requests, wanted, page, compartment
    )
    assert ids(some.data) == moved[:wanted]


def test_the_generators_yield_records_and_responses(gateway, compartment, moved):
    client = gateway.client(IdentityClient)
    records = oci.pagination.list_call_get_all_results_generator(
        client.list_work_requests, "record", compartment, limit=3
    )
    assert ids(records) == moved
    responses = oci.pagination.list_call_get_all_results_generator(
        client.list_work_requests, "response", compartment, limit=3
    )
    assert [len(response.data) for response in responses] == [3, 3, 1]


def test_collections_and_arrays_page_alike(gateway, compartment):
    for kind, create in (
        (ContainerEngineClient, create_cluster),
        (RedisClusterClient, create_cache),
    ):
        client = gateway.client(kind)
        started = [create(client, compartment) for _ in range(5)]
        everything = oci.pagination.list_call_get_all_results(
            client.list_work_requests, compartment_id=compartment, limit=2
        )
        assert sorted(ids(everything.data)) == sorted(started)


def test_a_page_goes_on_where_it_was_though_others_start(gateway, compartment, moved):
    client = gateway.client(IdentityClient)
    first = client.list_work_requests(compartment, limit=4)
    target = MoveCompartmentDetails(target_compartment_id=f"{compartment}target")
    client.move_compartment(compartment, target)
    rest = client.list_work_requests(compartment, limit=4, page=first.next_page)
    assert ids(first.data + rest.data) == moved
    assert len(first.next_page) <= 512


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_limit_out_of_range_is_refused_by_its_name(gateway, compartment, limit):
    client = gateway.client(IdentityClient)
    with pytest.raises(ServiceError) as refused:
        client.list_work_requests(compartment, limit=limit)
    assert (refused.value.status, refused.value.code) == (400, "InvalidParameter")
    assert "limit" in refused.value.message


def test_a_page_that_is_none_is_refused_by_its_name(gateway, compartment, moved):
    client = gateway.client(IdentityClient)
    page = client.list_work_requests(compartment, limit=2).next_page
    # Made up, and one of another list.
    for listed, wrong in ((compartment, "nonsense"), (f"{compartment}other", page)):
        with pytest.raises(ServiceError) as refused:
            client.list_work_requests(listed, limit=2, page=wrong)
        assert (refused.value.status, refused.value.code) == (400, "InvalidParameter")
        assert "page" in refused.value.message

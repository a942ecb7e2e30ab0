"""Google's own clients over HTTP with JSON: google-api-core, the discovery client, a generated one."""

import uuid

import httplib2
import pytest
from google.api_core import exceptions, operations_v1
from google.api_core.client_options import ClientOptions
from google.api_core.operations_v1.transports.rest import OperationsRestTransport
from google.auth.credentials import AnonymousCredentials
from google.cloud import workflows_v1
from google.longrunning import operations_pb2
from googleapiclient import discovery
from googleapiclient.errors import HttpError

from showcase import unpack, until

UNKNOWN = "01arz3ndektsv4rrffq69g5fav"
OPERATIONS = "google.longrunning.Operations"
# Names that do not hold `/operations/` cannot be asked for by the client's own rules.
FLAT = {
    f"{OPERATIONS}.{method}": [{"method": verb, "uri": f"/v1/{{name=operations/**}}{suffix}"}]
    for method, verb, suffix in [
        ("GetOperation", "get", ""),
        ("DeleteOperation", "delete", ""),
        ("CancelOperation", "post", ":cancel"),
    ]
}
FLAT[f"{OPERATIONS}.CancelOperation"][0]["body"] = "*"
FLAT[f"{OPERATIONS}.ListOperations"] = [{"method": "get", "uri": "/v1/{name=operations}"}]


def api_core(address: str, http_options=None, path_prefix="v1"):
    transport = OperationsRestTransport(
        host=f"http://{address}",
        credentials=AnonymousCredentials(),
        http_options=http_options,
        path_prefix=path_prefix,
    )
    return operations_v1.AbstractOperationsClient(transport=transport)


@pytest.fixture(params=["v1", "v2beta1"])
def client(request, http_address):
    return api_core(http_address, path_prefix=request.param)


@pytest.fixture
def flat(http_address):
    return api_core(http_address, FLAT)


@pytest.fixture
def acm(http_address):
    return discovery.build(
        "accesscontextmanager",
        "v1",
        static_discovery=True,
        http=httplib2.Http(timeout=20),
        client_options=ClientOptions(api_endpoint=f"http://{http_address}"),
    )


@pytest.fixture
def workflows(http_address):
    return workflows_v1.WorkflowsClient(
        transport="rest",
        credentials=AnonymousCredentials(),
        client_options=ClientOptions(api_endpoint=f"http://{http_address}"),
    )


class TestApiCore:
    def test_reads_what_grpc_reads(self, client, stub, showcase, parent):
        started = showcase.start("Echo", {"n": 1}, parent=parent)
        read = client.get_operation(started.name)
        over_grpc = stub.GetOperation(operations_pb2.GetOperationRequest(name=started.name))
        assert unpack(read.response) == {"n": 1}
        assert (read.name, read.done) == (over_grpc.name, over_grpc.done)
        assert read.response == over_grpc.response
        assert unpack(read.metadata) == unpack(over_grpc.metadata)

    def test_walks_pages(self, client, showcase, parent):
        names = [showcase.start("Echo", {"n": n}, parent=parent).name for n in range(7)]
        listed = client.list_operations(parent, page_size=3)
        assert [operation.name for operation in listed] == names[::-1]
        assert list(client.list_operations(f"projects/{uuid.uuid4()}")) == []

    def test_cancels_and_deletes(self, client, held):
        client.cancel_operation(held.name)
        client.cancel_operation(held.name)
        ended = until(lambda: client.get_operation(held.name), lambda operation: operation.done)
        assert ended.error.code == 1
        client.delete_operation(held.name)
        for again in (client.get_operation, client.delete_operation, client.cancel_operation):
            with pytest.raises(exceptions.NotFound) as caught:
                again(held.name)
            assert (caught.value.reason, caught.value.domain) == ("NOT_FOUND", "opgate")

    def test_takes_flat_names_by_its_http_options(self, flat, showcase):
        started = showcase.start("Echo", {"n": 1})
        assert started.name.startswith("operations/")
        assert unpack(flat.get_operation(started.name).response) == {"n": 1}
        newest = next(flat.list_operations("operations", page_size=50).pages).operations
        assert started.name in [operation.name for operation in newest]
        flat.cancel_operation(started.name)
        flat.delete_operation(started.name)
        with pytest.raises(exceptions.NotFound):
            flat.get_operation(started.name)

    def test_lists_the_collection_of_the_collection(self, http_address, showcase, parent):
        showcase.start("Echo", parent=parent)
        listed = api_core(http_address).list_operations("operations", page_size=1)
        assert len(next(listed.pages).operations) == 1

    def test_reads_failures_with_every_common_detail(self, client, showcase, parent):
        details = [{"@type": "type.googleapis.com/acme.v1.Nobody", "value": "AAAA"}]
        fields = {"code": 9, "message": "no", "details": details}
        failed = showcase.start("Fail", fields, parent=parent)
        ended = client.get_operation(failed.name)
        assert (ended.error.code, ended.error.message) == (9, "no")
        kinds = [detail.type_url.rsplit("/")[-1] for detail in ended.error.details]
        assert kinds == ["google.rpc.ErrorInfo"]
        assert [operation.name for operation in client.list_operations(parent)] == [failed.name]

    def test_raises_what_was_wrong(self, client, parent):
        with pytest.raises(exceptions.BadRequest) as caught:
            list(client.list_operations(parent, page_size=-1))
        assert caught.value.reason == "INVALID_ARGUMENT"
        assert caught.value.details[-1]["fieldViolations"][0]["field"] == "page_size"


class TestDiscovery:
    """The client for accesscontextmanager, whose operations are named operations/ID."""

    def test_gets_in_either_format(self, acm, showcase):
        started = showcase.start("Echo", {"n": 1})
        for xgafv in (None, "1", "2"):
            get = acm.operations().get(name=started.name, x__xgafv=xgafv)
            operation = get.execute()
            assert operation["done"] and operation["response"]["value"] == {"n": 1}

    def test_reads_errors_of_either_format(self, acm):
        for xgafv, has_words in [(None, False), ("1", True), ("2", False)]:
            with pytest.raises(HttpError) as caught:
                acm.operations().get(name=f"operations/{UNKNOWN}", x__xgafv=xgafv).execute()
            error = caught.value
            assert error.status_code == 404
            assert error.reason.startswith("no such operation")
            assert any(detail["reason"] == "NOT_FOUND" for detail in error.error_details)
            assert (b'"errors"' in error.content) == has_words

    def test_lists_page_by_page(self, acm, showcase):
        names = [showcase.start("Echo", {"n": n}).name for n in range(3)]
        operations, found = acm.operations(), []
        request = operations.list(name="operations", pageSize=2)
        for _ in range(10):
            page = request.execute()
            found += [operation["name"] for operation in page["operations"]]
            request = operations.list_next(request, page)
            if request is None or set(names) <= set(found):
                break
        assert set(names) <= set(found)
        assert len(found) == len(set(found))

    def test_sends_a_query_too_long_for_a_url_as_a_form(self, acm, showcase):
        showcase.start("Echo")
        fields = ",".join(["operations(name)"] * 130)
        page = acm.operations().list(name="operations", pageSize=1, fields=fields).execute()
        assert [list(operation) for operation in page["operations"]] == [["name"]]

    def test_cancels_and_deletes(self, acm, showcase):
        name = showcase.start("Run", {"hold": True}).name
        assert acm.operations().cancel(name=name, body={}).execute() == {}
        ended = until(
            lambda: acm.operations().get(name=name).execute(), lambda read: read.get("done")
        )
        assert ended["error"]["code"] == 1
        assert acm.operations().delete(name=name).execute() == {}
        with pytest.raises(HttpError, match="404"):
            acm.operations().get(name=name).execute()


class TestWorkflows:
    """A generated client's own methods for operations."""

    def test_gets_lists_and_deletes(self, workflows, showcase, parent):
        started = showcase.start("Echo", {"n": 1}, parent=parent)
        read = workflows.get_operation({"name": started.name})
        assert unpack(read.response) == {"n": 1}
        listed = workflows.list_operations({"name": parent})
        assert [operation.name for operation in listed.operations] == [started.name]
        workflows.delete_operation({"name": started.name})
        with pytest.raises(exceptions.NotFound):
            workflows.get_operation({"name": started.name})


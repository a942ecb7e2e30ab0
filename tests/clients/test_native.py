"""opgate's own API: gRPC with stubs made from what reflection tells, and the same calls as JSON."""

import base64
import http.client
import json
import uuid

import grpc
import pytest
from google.cloud import workflows_v1
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_status import rpc_status

OPERATIONS = "opgate.v1.Operations"
HELD = {"json": {"hold": True}}


class Native:
    """The services as reflection describes them: nothing was generated beforehand."""

    def __init__(self, channel: grpc.Channel):
        self.channel = channel
        self.pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))

    def __call__(self, method: str, request: dict | None = None, timeout: float = 20, **kwargs):
        described = self.pool.FindServiceByName(OPERATIONS).FindMethodByName(method)
        takes = message_factory.GetMessageClass(described.input_type)
        gives = message_factory.GetMessageClass(described.output_type)
        kind = self.channel.unary_stream if described.server_streaming else self.channel.unary_unary
        call = kind(
            f"/{OPERATIONS}/{method}",
            request_serializer=takes.SerializeToString,
            response_deserializer=gives.FromString,
        )
        message = json_format.ParseDict(request or {}, takes(), descriptor_pool=self.pool)
        return call(message, timeout=timeout, **kwargs)


@pytest.fixture(scope="session")
def native(channel) -> Native:
    return Native(channel)


class Api:
    """The JSON form, over HTTP/1.1."""

    def __init__(self, address: str):
        self.address = address

    def open(self, method: str, path: str, body=None, headers: dict | None = None):
        connection = http.client.HTTPConnection(self.address, timeout=30)
        content = None if body is None else json.dumps(body)
        connection.request(method, f"/opgate/v1/{path}", content, headers or {})
        return connection.getresponse()

    def __call__(self, method: str, path: str, body=None, headers=None, status: int = 200):
        response = self.open(method, path, body, headers)
        text = response.read()
        assert response.status == status, text
        return json.loads(text) if text else None


@pytest.fixture(scope="session")
def api(http_address) -> Api:
    return Api(http_address)


@pytest.fixture
def held(api, parent):
    """An operation that runs until somebody ends it."""
    operation = api("POST", "operations", {"route": "showcase-run", "parent": parent, "input": HELD})
    yield operation
    api.open("POST", f"operations/{operation['id']}:cancel", {}).read()


def echo(content, **more) -> dict:
    return {"route": "showcase-echo", "input": {"json": content}, **more}


def events(response, until=lambda event: False):
    """Server-sent events, up to the one that is wanted or the end."""
    event = {}
    for line in response:
        line = line.decode().rstrip("\n")
        if line == "":
            if event:
                yield event
                if until(event):
                    return
            event = {}
        elif not line.startswith(":"):
            name, value = line.split(": ", 1)
            assert name not in event, "the data is one line"
            event[name] = value


def test_reflection_lists_the_services(channel):
    services = ProtoReflectionDescriptorDatabase(channel).get_services()
    assert {OPERATIONS, "opgate.v1.Workers"} <= set(services)


def test_googles_client_gets_the_declared_types_of_what_was_started_here(api, client, parent):
    """The types are the route's, whichever protocol an operation was started through."""
    name = f"{parent}/workflows/w"
    request = {"parent": parent, "workflowId": "w", "workflow": {"description": "d"}}
    start = {"route": "create-workflow", "parent": parent, "input": {"json": request}}
    started = api("POST", "operations", start)
    done = api("GET", f"operations/{started['id']}:wait?timeout=20s")
    shown = client.get_operation(done["names"]["grpc"])
    workflow = workflows_v1.Workflow()
    assert shown.response.Unpack(workflows_v1.Workflow.pb(workflow))
    assert (workflow.name, workflow.description) == (name, "d")
    metadata = workflows_v1.OperationMetadata()
    assert shown.metadata.Unpack(workflows_v1.OperationMetadata.pb(metadata))


def test_both_forms_show_the_same_operation(native, api):
    started = native("StartOperation", echo({"a": [1, 2]}))
    assert started.done and started.state == 3
    assert json.loads(started.result.data) == {"a": [1, 2]}
    shown = api("GET", f"operations/{started.id}")
    assert shown["result"] == {"mediaType": "application/json", "json": {"a": [1, 2]}}
    # But for content, which JSON shows as JSON, they are one.
    got = native("GetOperation", {"name": started.id})
    for part in ("input", "result"):
        got.ClearField(part)
        del shown[part]
    assert shown == json_format.MessageToDict(got, descriptor_pool=native.pool)


def test_any_faces_name_leads_to_it(native, api, client, parent):
    started = api("POST", "operations", echo(1, parent=parent))
    name = started["names"]["grpc"]
    assert name == f"{parent}/operations/{started['id']}"
    assert client.get_operation(name).done
    for known in (name, started["id"], f"operations/{started['id']}"):
        assert api("GET", f"operations/{known}")["id"] == started["id"]
        assert native("GetOperation", {"name": known}).id == started["id"]


@pytest.mark.parametrize(
    "text",
    ['{"n":12345678901234567890}', '{"n":0.12345678901234567890}', '{"a":1,"a":2}', "-0"],
)
def test_json_that_a_reader_would_change_comes_as_bytes(api, text):
    connection = http.client.HTTPConnection(api.address, timeout=30)
    body = f'{{"route": "showcase-echo", "input": {{"json": {text}}}}}'
    connection.request("POST", "/opgate/v1/operations", body)
    shown = json.loads(connection.getresponse().read())
    # What went in as JSON is kept byte by byte.
    assert base64.b64decode(shown["result"]["data"]).decode() == text
    assert "json" not in shown["result"]


def test_json_keeps_its_order(api):
    connection = http.client.HTTPConnection(api.address, timeout=30)
    text = '{"z":1,"a":{"y":[],"b":null}}'
    body = f'{{"route": "showcase-echo", "input": {{"json": {text}}}}}'
    connection.request("POST", "/opgate/v1/operations?prettyPrint=false", body)
    assert f'"json":{text}' in connection.getresponse().read().decode()


def test_a_repeat_is_the_same_operation_in_both_forms(native, api):
    key = str(uuid.uuid4())
    first = api("POST", "operations", echo(1), {"Idempotency-Key": key})
    assert api("POST", "operations", echo(1, requestId=key))["id"] == first["id"]
    request = {"route": "showcase-echo", "requestId": key}
    data = {"data": "MQ==", "mediaType": "application/json"}
    assert native("StartOperation", request | {"input": data}).id == first["id"]
    conflict = api("POST", "operations", echo(2), {"Idempotency-Key": key}, status=409)
    assert conflict["error"]["status"] == "ALREADY_EXISTS"


@pytest.mark.parametrize(
    ("request_", "status", "code", "field"),
    [
        ({"route": "nowhere"}, 404, "NOT_FOUND", "route"),
        ({}, 400, "INVALID_ARGUMENT", "route"),
        ({"service": "showcase", "operation": "none"}, 404, "NOT_FOUND", "operation"),
        (echo(1, parent="a//b"), 400, "INVALID_ARGUMENT", "parent"),
        (echo(1, timeout="0s"), 400, "INVALID_ARGUMENT", "timeout"),
        (echo(1, callbacks=[{"url": "ftp://h"}]), 400, "INVALID_ARGUMENT", "callbacks.url"),
        (echo(1, headers=[{"name": "a b"}]), 400, "INVALID_ARGUMENT", "headers"),
    ],
)
def test_what_is_wrong_is_named_in_both_forms(native, api, request_, status, code, field):
    error = api("POST", "operations", request_, status=status)["error"]
    assert (error["code"], error["status"]) == (status, code)
    details = {detail["@type"].rsplit(".", 1)[1]: detail for detail in error["details"]}
    assert details["ErrorInfo"]["domain"] == "opgate"
    assert details["BadRequest"]["fieldViolations"][0]["field"] == field
    with pytest.raises(grpc.RpcError) as refused:
        native("StartOperation", request_)
    assert refused.value.code().name == code
    assert refused.value.details() == error["message"]
    [request] = [
        detail
        for detail in rpc_status.from_call(refused.value).details
        if detail.Is(error_details_pb2.BadRequest.DESCRIPTOR)
    ]
    unpacked = error_details_pb2.BadRequest()
    request.Unpack(unpacked)
    assert unpacked.field_violations[0].field == field


def test_a_list_is_filtered_and_paged(api, parent):
    ids = [api("POST", "operations", echo(n, parent=parent))["id"] for n in range(3)]
    path = f"operations?parent={parent}&pageSize=2&filter=state%20%3D%20SUCCEEDED"
    page = api("GET", path)
    assert [shown["id"] for shown in page["operations"]] == [ids[2], ids[1]]
    assert "result" not in page["operations"][0]
    rest = api("GET", f"{path}&pageToken={page['nextPageToken']}")
    assert [shown["id"] for shown in rest["operations"]] == [ids[0]]
    full = api("GET", f"operations?parent={parent}&view=FULL")
    assert full["operations"][0]["result"]["json"] == 2
    assert "operations" not in api("GET", f"operations?parent={parent}&filter=done%20%3D%20false")


def test_a_wait_ends_with_a_later_version_and_with_the_operation(native, api, held):
    path = f"operations/{held['id']}:wait"
    assert api("GET", f"{path}?timeout=20s&version=1")["state"] == "RUNNING"
    assert not native("WaitOperation", {"name": held["id"], "timeout": "0.05s"}).done
    api("POST", f"operations/{held['id']}:cancel", {"reason": "enough"})
    ended = api("POST", path, {"timeout": "20s"})
    assert (ended["state"], ended["cancel"]["reason"]) == ("CANCELED", "enough")


def test_a_version_is_a_tag(api, held):
    response = api.open("GET", f"operations/{held['id']}")
    shown = json.loads(response.read())
    assert response.headers["etag"] == f'"{shown["version"]}"'
    api("GET", f"operations/{held['id']}:wait?version=1&timeout=20s")
    current = api.open("GET", f"operations/{held['id']}")
    current.read()
    tag = {"If-None-Match": current.headers["etag"]}
    assert api.open("GET", f"operations/{held['id']}", headers=tag).status == 304


def test_an_operation_is_completed_by_hand(api, held):
    path = f"operations/{held['id']}:complete"
    stale = {"outcome": {"succeeded": {}}, "version": 77}
    assert api("POST", path, stale, status=409)["error"]["status"] == "ABORTED"
    ended = api("POST", path, {"outcome": {"failed": {"code": "NOT_FOUND", "message": "gone"}}})
    assert (ended["state"], ended["error"]["code"]) == ("FAILED", "NOT_FOUND")
    assert "anonymous" in ended["log"][-1]["message"]


def test_what_was_deleted_is_gone(api):
    started = api("POST", "operations", echo(1))
    assert api("DELETE", f"operations/{started['id']}") == {}
    error = api("GET", f"operations/{started['id']}", status=404)["error"]
    assert error["status"] == "NOT_FOUND"


def test_a_watch_over_grpc_ends_with_the_operation(native, api, held):
    watch = native("WatchOperation", {"name": held["id"]})
    first = next(watch)
    api("POST", f"operations/{held['id']}:cancel", {})
    last = [first, *watch][-1]
    assert last.operation.done and last.cursor == str(last.operation.version)


def test_a_watch_over_http_ends_with_the_operation_and_goes_on_from_an_event(api, held):
    path = f"operations/{held['id']}:watch"
    response = api.open("GET", path, headers={"Accept": "text/event-stream"})
    assert response.headers["content-type"] == "text/event-stream"
    seen = []
    for event in events(response):
        seen.append(event)
        if len(seen) == 1:
            api("POST", f"operations/{held['id']}:cancel", {})
    assert [event["event"] for event in seen[:-1]] == ["operation"] * (len(seen) - 1)
    assert seen[-1]["event"] == "end"
    last = json.loads(seen[-2]["data"])
    assert last["done"] and last["version"] == seen[-2]["id"]
    # Who has seen all but the last version gets that one, and who has seen it only the end.
    for known, expected in [(int(last["version"]) - 1, ["operation", "end"]), (last["version"], ["end"])]:
        again = api.open("GET", path, headers={"Last-Event-ID": str(known)})
        assert [event["event"] for event in events(again)] == expected


def test_a_watch_of_a_scope_is_taken_up_where_it_broke_off(api, parent):
    first = api("POST", "operations", echo(1, parent=parent))
    response = api.open("GET", f"operations:watch?parent={parent}")
    [seen] = events(response, until=lambda event: True)
    assert json.loads(seen["data"])["id"] == first["id"]
    response.close()
    second = api("POST", "operations", echo(2, parent=parent))
    api("DELETE", f"operations/{first['id']}")
    headers = {"Last-Event-ID": seen["id"]}
    response = api.open("GET", f"operations:watch?parent={parent}", headers=headers)
    later = list(events(response, until=lambda event: event["event"] == "deleted"))
    response.close()
    assert [(event["event"], json.loads(event["data"])["id"]) for event in later] == [
        ("operation", second["id"]),
        ("deleted", first["id"]),
    ]


def test_paths_that_are_not_there(api):
    for method, path in [("GET", "nothing"), ("PUT", "operations"), ("POST", "operations/x:frob")]:
        error = api(method, path, status=404)["error"]
        assert error["status"] == "NOT_FOUND"
    error = api("GET", "operations?nothing=1", status=400)["error"]
    assert error["status"] == "INVALID_ARGUMENT"

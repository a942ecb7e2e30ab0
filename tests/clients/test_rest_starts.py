"""Starts over HTTP with JSON: what Google's own clients send, and what curl would."""

import uuid

import httplib2
import pytest
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import workflows_v1
from googleapiclient import discovery
from googleapiclient.errors import HttpError

from showcase import until

WORKFLOW = "type.googleapis.com/google.cloud.workflows.v1.Workflow"


@pytest.fixture
def workflows(http_address):
    return workflows_v1.WorkflowsClient(
        transport="rest",
        credentials=AnonymousCredentials(),
        client_options=ClientOptions(api_endpoint=f"http://{http_address}"),
    )


@pytest.fixture
def acm(http_address):
    return discovery.build(
        "accesscontextmanager",
        "v1",
        static_discovery=True,
        http=httplib2.Http(timeout=20),
        client_options=ClientOptions(api_endpoint=f"http://{http_address}"),
    )


class TestWorkflows:
    def test_a_created_workflow_is_the_future_of_its_start(self, workflows, parent):
        workflow = workflows_v1.Workflow(
            description="d",
            source_contents="main:",
            labels={"a": "1", "b": "2"},
            call_log_level=workflows_v1.Workflow.CallLogLevel.LOG_ERRORS_ONLY,
        )
        future = workflows.create_workflow(parent=parent, workflow=workflow, workflow_id="w")
        assert future.operation.name.startswith(f"{parent}/operations/")
        made = future.result(timeout=20)
        assert made.name == f"{parent}/workflows/w"
        assert (made.description, dict(made.labels)) == ("d", {"a": "1", "b": "2"})
        assert made.call_log_level == workflows_v1.Workflow.CallLogLevel.LOG_ERRORS_ONLY
        assert made.state == workflows_v1.Workflow.State.ACTIVE

    def test_what_rest_starts_grpc_lists(self, workflows, client, parent):
        future = workflows.create_workflow(parent=parent, workflow={}, workflow_id="w")
        assert [o.name for o in client.list_operations(parent, "")] == [future.operation.name]

    def test_a_future_can_be_cancelled(self, workflows, parent):
        future = workflows.create_workflow(parent=parent, workflow={}, workflow_id="w")
        future.cancel()
        assert until(future.done, bool)


class TestDiscovery:
    def test_a_created_policy_is_an_operation_that_ends_with_it(self, acm):
        body = {"parent": "organizations/1", "title": "t", "scopes": ["projects/2"]}
        started = acm.accessPolicies().create(body=body).execute()
        assert started["name"].startswith("operations/")
        ended = until(
            lambda: acm.operations().get(name=started["name"]).execute(),
            lambda read: read.get("done"),
        )
        made = ended["response"]
        assert (made["title"], made["scopes"]) == ("t", ["projects/2"])
        assert made["name"].startswith("accessPolicies/")
        # Lists of the root are read by clients that do not know its types.
        acm.operations().delete(name=started["name"]).execute()

    def test_a_field_that_is_none_is_refused_by_name(self, acm):
        for xgafv in (None, "1"):
            create = acm.accessPolicies().create(body={"titel": "t"}, x__xgafv=xgafv)
            with pytest.raises(HttpError) as caught:
                create.execute()
            assert caught.value.status_code == 400
            assert "titel: google.identity.accesscontextmanager.v1.AccessPolicy has no such field" in (
                caught.value.reason
            )


class TestBare:
    def test_the_parts_of_a_request_are_one_message(self, rest, parent):
        answer = rest(
            "POST",
            f"/v1/{parent}/workflows?workflowId=w&%24alt=json%3Benum-encoding%3Dint",
            b'{"description": "d", "callLogLevel": 2}',
            content_type="application/json",
        )
        assert answer.status == 200, answer.body
        assert answer.headers["opgate-durability"] in ("fsync", "memory")
        name = answer.json["name"]
        done = until(lambda: rest.get(f"/v1/{name}").json, lambda read: read.get("done"))
        assert done["response"]["@type"] == WORKFLOW
        assert done["response"]["callLogLevel"] == "LOG_ERRORS_ONLY"
        assert rest.get(f"/v1/{name}?alt=json;enum-encoding=int").json["response"]["callLogLevel"] == 2

    def test_a_repeat_under_a_key_is_the_same_operation(self, rest, parent):
        def start(body: bytes, key: str):
            target = f"/v1/{parent}/workflows?workflowId=w"
            return rest("POST", target, body, idempotency_key=key)

        key = str(uuid.uuid4())
        labels = b'{"labels": {"a": "1", "b": "2", "c": "3", "d": "4"}}'
        first = start(labels, key).json["name"]
        for _ in range(10):
            assert start(labels, key).json["name"] == first
        other = start(b"{}", key)
        assert (other.status, other.error["status"]) == (409, "ALREADY_EXISTS")
        assert start(labels, str(uuid.uuid4())).json["name"] != first

    @pytest.mark.parametrize(
        ("query", "body", "field"),
        [
            ("workflowid=w", b"{}", "workflowid"),
            ("workflowId=w&workflow_id=v", b"{}", "workflow_id"),
            ("workflow.name=x", b"{}", "workflow.name"),
            ("parent=x", b"{}", "parent"),
            ("", b'{"labels": {"a": 1}}', 'labels["a"]'),
            ("", b'{"state": "ODD"}', "workflow.state"),
            ("", b"{", "workflow"),
            ("", b"{} {}", "body"),
            ("", b'{"name": "a", "name": "b"}', "workflow.name"),
            ("alt=sse", b"{}", "alt"),
        ],
    )
    def test_what_is_wrong_is_named(self, rest, client, parent, query, body, field):
        answer = rest("POST", f"/v1/{parent}/workflows?{query}", body)
        assert answer.status == 400, answer.body
        found = answer.detail("google.rpc.BadRequest")["fieldViolations"][0]["field"]
        assert found.endswith(field), found
        assert list(client.list_operations(parent, "")) == [], "nothing was started"

    def test_a_path_that_starts_nothing_is_not_found(self, rest):
        for target in ["/v1/accessPolicy", "/v1/projects/p/workflows", "/v2/accessPolicies"]:
            assert rest("POST", target, b"{}").error["status"] == "NOT_FOUND", target

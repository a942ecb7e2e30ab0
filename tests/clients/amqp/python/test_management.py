"""The operations of the management drafts, asked for by python-qpid-proton."""

import uuid

from node import OPERATION, SELF, SHOWCASE, Node

ABSENT = "0" * 26


def test_an_operation_is_started_read_canceled_and_deleted(node: Node):
    identity = node.start({"hold": True})
    read = node.of(identity, "READ").good()
    assert (read["identity"], read["type"]) == (identity, OPERATION)
    node.of(identity, "CANCEL").good()
    assert node.of(identity, "WAIT").good()["state"] == "CANCELED"
    assert node.of(identity, "DELETE").good(204) == {}
    assert node.of(identity, "READ").code == 404


def test_it_is_the_same_operation_over_http(node: Node, native):
    identity = node.start({"result": {"x": 1}})
    assert native.ended(identity)["state"] == "SUCCEEDED"
    started = native.start("showcase-run", input={"json": {"hold": True}})["id"]
    assert node.of(started, "READ").good()["identity"] == started
    node.of(started, "CANCEL").good()
    assert native.ended(started)["state"] == "CANCELED"


def test_its_name_finds_it_too(node: Node):
    identity = node.start()
    name = node.of(identity, "READ").good()["name"]
    by_name = node.call("READ", type=OPERATION, name=name).good()
    assert by_name["identity"] == identity


def test_refusals_are_replies(node: Node):
    absent = node.of(ABSENT, "READ")
    assert absent.code == 404 and absent.description
    assert absent.condition == "amqp:not-found"
    assert node.call("DANCE", type=OPERATION).code == 501
    assert node.call("READ", type="com.example:nothing").code in (404, 501)
    assert node.call("READ", type=OPERATION).code == 400
    refused = node.call("run", {"duration": "soon"}, type=SHOWCASE)
    assert refused.code == 400 and "duration" in refused.description
    # The links serve on.
    node.start()


def test_a_query_has_rows_in_pages(connection):
    """What qdmanage and skmanage send: columns, an offset and a count."""
    parent = f"projects/{uuid.uuid4().hex}"
    node = Node(connection, f"{parent}/$management")
    started = [node.start() for _ in range(5)]
    columns = ["identity", "type"]

    def page(offset: int, count: int) -> list:
        query = {"attributeNames": columns}
        reply = node.call("QUERY", query, **SELF, entityType=OPERATION, offset=offset, count=count)
        body = reply.good()
        assert body["attributeNames"] == columns
        assert reply.message.properties["count"] == len(body["results"])
        return body["results"]

    rows = page(0, 2) + page(2, 2) + page(4, 2)
    assert sorted(row[0] for row in rows) == sorted(started)
    assert {row[1] for row in rows} == {OPERATION}
    assert page(5, 2) == []


def test_a_query_without_columns_has_them_all(connection):
    node = Node(connection, f"projects/{uuid.uuid4().hex}/$management")
    identity = node.start()
    body = node.call("QUERY", {"attributeNames": []}, **SELF, entityType=OPERATION).good()
    (row,) = body["results"]
    entity = dict(zip(body["attributeNames"], row, strict=True))
    assert entity["identity"] == identity and entity["type"] == OPERATION


def test_the_node_says_what_it_can_do(node: Node):
    """The questions that skupper's `management.client.Node` asks, in the order that skmanage does."""
    assert OPERATION in node.call("GET-TYPES", **SELF).good()
    attributes = node.call("GET-ATTRIBUTES", **SELF, entityType=OPERATION).good()
    assert {"identity", "name", "type"} <= set(attributes[OPERATION])
    operations = node.call("GET-OPERATIONS", **SELF).good()
    assert {"READ", "DELETE", "CANCEL", "WAIT"} <= set(operations[OPERATION])
    nodes = node.call("GET-MGMT-NODES", **SELF).good()
    assert "$management" in nodes


def test_a_route_answers_when_it_is_done_or_at_once(node: Node, native):
    done = node.call("REFLECT", {"colour": "blue"}, type="com.example:mirror").good()
    assert done["colour"] == "blue"
    held = node.call("HOLD", type="com.example:parcel", name="p1").good(202)
    assert native.get(held["identity"])["state"] in ("ACCEPTED", "RUNNING")
    native.cancel(held["identity"])


def test_a_routes_failure_is_a_reply_that_says_why(node: Node):
    failed = node.call("LOSE", type="com.example:parcel", name="p2")
    assert failed.code == 412 or 400 <= failed.code < 500, failed.code
    assert failed.description == "the parcel is not there"


def test_a_route_may_have_a_node_of_its_own(connection):
    delivered = Node(connection, "parcels/$management").call(
        "DELIVER", type="com.example:parcel", name="p3"
    )
    assert delivered.good()["delivered"] == "p3"
    elsewhere = Node(connection).call("DELIVER", type="com.example:parcel", name="p3")
    assert elsewhere.code == 501

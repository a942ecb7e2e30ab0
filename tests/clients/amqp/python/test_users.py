"""Who may come, and whose operations they see: python-qpid-proton with SASL."""

import pytest
from proton import ConnectionException
from proton.utils import LinkDetached

from node import Node, connect, plain


def test_a_password_proves_who_it_is(secured):
    connection = plain(secured, "alice", "wonder land")
    assert Node(connection).start()
    connection.close()


@pytest.mark.parametrize(
    "user, password", [("alice", "wonderland"), ("alice", ""), ("dan", "wonder land")]
)
def test_a_wrong_password_is_refused(secured, user, password):
    with pytest.raises(ConnectionException) as refused:
        plain(secured, user, password)
    assert "amqp:unauthorized-access" in str(refused.value), refused.value


def test_a_tenant_sees_its_own_operations_only(secured):
    hers, his = plain(secured, "alice", "wonder land"), plain(secured, "bob", "build it")
    node = Node(hers)
    identity = node.start()
    assert node.of(identity, "READ").code == 200
    assert Node(his).of(identity, "READ").code == 404
    for connection in (hers, his):
        connection.close()


def test_a_user_of_any_tenant_works_where_it_is_told_to(secured):
    his = plain(secured, "bob", "build it")
    assert his.create_receiver("queue/paint", credit=1)
    hers = plain(secured, "alice", "wonder land")
    for connection, queue in [(his, "queue/peeked"), (hers, "queue/paint")]:
        with pytest.raises(LinkDetached) as refused:
            connection.create_receiver(queue)
        assert refused.value.condition == "amqp:unauthorized-access"
    for connection in (hers, his):
        connection.close()


def test_nobody_comes_in_without_a_name_where_there_are_users(secured):
    connection = connect(secured, allowed_mechs="ANONYMOUS")
    with pytest.raises(LinkDetached) as refused:
        Node(connection)
    assert refused.value.condition == "amqp:unauthorized-access"
    connection.close()

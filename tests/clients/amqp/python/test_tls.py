"""TLS, and certificates as proof of who comes: python-qpid-proton."""

import os
import pathlib

import pytest
from proton import ConnectionException, SSLDomain

from node import Node, connect, plain


@pytest.fixture(scope="session")
def tls() -> str:
    return os.environ["OPGATE_TLS"]


def domain(client: str | None = None) -> SSLDomain:
    """Trusts the daemon's authority, and shows a certificate of its own if it has one."""
    certificates = pathlib.Path(os.environ["OPGATE_CERTIFICATES"])
    domain = SSLDomain(SSLDomain.MODE_CLIENT)
    domain.set_trusted_ca_db(str(certificates / "ca.pem"))
    domain.set_peer_authentication(SSLDomain.VERIFY_PEER)
    if client:
        parts = [str(certificates / f"{client}.{part}") for part in ("pem", "key")]
        domain.set_credentials(*parts, None)
    return domain


def external(address: str, client: str):
    return connect(address, scheme="amqps", allowed_mechs="EXTERNAL", ssl_domain=domain(client))


def test_a_port_speaks_tls_and_plain_text(tls):
    for options in ({}, {"scheme": "amqps", "ssl_domain": domain(), "allow_insecure_mechs": False}):
        connection = plain(tls, "alice", "wonder land", **options)
        assert Node(connection).start()
        connection.close()


def test_a_certificate_proves_who_it_is(tls):
    """Carol belongs to alice's tenant."""
    hers = plain(tls, "alice", "wonder land")
    identity = Node(hers).start()
    carols = external(tls, "carol")
    assert Node(carols).of(identity, "READ").code == 200
    for connection in (hers, carols):
        connection.close()


def test_a_certificate_that_no_user_has_is_refused(tls):
    with pytest.raises(ConnectionException):
        external(tls, "mallory")

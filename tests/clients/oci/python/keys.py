"""Makes the key pairs of those who call, and of the issuer of session tokens: `keys.py DIRECTORY`."""

import pathlib
import sys

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

# `carol-next` is what carol's key is replaced by; nobody knows `stranger`, nor `forger`.
NAMES = ["alice", "carol", "carol-next", "eve", "stranger", "issuer", "forger", "session"]


def private_key(path: pathlib.Path) -> rsa.RSAPrivateKey:
    return serialization.load_pem_private_key(path.read_bytes(), password=None)


def make(directory: pathlib.Path, name: str) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for suffix, content in ((".pem", secret), (".pub.pem", public)):
        file = directory / f"{name}{suffix}"
        file.touch(mode=0o600)
        file.write_bytes(content)


if __name__ == "__main__":
    for name in NAMES:
        make(pathlib.Path(sys.argv[1]), name)

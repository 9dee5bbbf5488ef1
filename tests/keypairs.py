"""Pairs of keys, as OpenSSL writes them."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

PEM = serialization.Encoding.PEM
PLAIN = serialization.NoEncryption()


def write_pair(folder: Path, name: str = "key", password: bytes | None = None, *, curve: bool = False) -> Path:
    """NAME.pem and NAME.pub.pem."""
    key = ec.generate_private_key(ec.SECP256R1()) if curve else ed25519.Ed25519PrivateKey.generate()
    locked = serialization.BestAvailableEncryption(password) if password else PLAIN
    (folder / f"{name}.pem").write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, locked))
    public = key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub.pem").write_bytes(public)
    return folder

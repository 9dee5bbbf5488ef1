"""Sign a bundle's checksums with an ed25519 key, and check such a signature.

The signature is 64 bytes, over the bytes of SHA256SUMS, so that OpenSSL checks it as well:

    openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from edgekd.errors import BadInputError, MissingExtraError

MAKE = "make a pair with: openssl genpkey -algorithm ed25519 -out key.pem; openssl pkey -in key.pem -pubout"


def sign(sums: bytes, key: Path) -> bytes:
    """The signature of ``sums`` by the private key in the PEM file ``key``.

    Raises:
        MissingExtraError: cryptography is not installed.
        BadInputError: no such file, no private ed25519 key, or one with a password.

    """
    found = _load(key, "private")
    signature: bytes = found.sign(sums)
    return signature


def check(sums: bytes, signature: bytes, key: Path) -> bool:
    """Whether ``signature`` is that of ``sums`` by the pair of the public key in the PEM file ``key``.

    Raises:
        MissingExtraError: cryptography is not installed.
        BadInputError: no such file, or no public ed25519 key.

    """
    public = _load(key, "public")
    from cryptography.exceptions import InvalidSignature

    try:
        public.verify(signature, sums)
    except InvalidSignature:
        return False
    return True


def _load(path: Path, half: str) -> Any:
    serialization, ed25519 = _cryptography()
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInputError(f"{path}: found no readable file ({reason}), expected a {half} key", MAKE) from error
    kinds = {"private": ed25519.Ed25519PrivateKey, "public": ed25519.Ed25519PublicKey}
    key = _parse(path, content, half, serialization)
    if not isinstance(key, kinds[half]):
        raise BadInputError(f"{path}: found a key of another kind, expected a {half} ed25519 key", MAKE)
    return key


def _parse(path: Path, content: bytes, half: str, serialization: Any) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    parse: Callable[[], Any] = {
        "private": lambda: serialization.load_pem_private_key(content, password=None),
        "public": lambda: serialization.load_pem_public_key(content),
    }[half]
    try:
        return parse()
    except TypeError as error:  # what cryptography raises for a key with a password
        raise BadInputError(
            f"{path}: found a private key with a password, expected one without",
            f"take the password off: openssl pkey -in {path.name} -out plain.pem",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        other = "public" if half == "private" else "private"
        swapped = f"a {other} key" if f"{other.upper()} KEY-----".encode() in content else "a file without one"
        raise BadInputError(f"{path}: found {swapped}, expected a {half} ed25519 key in PEM", MAKE) from error


def _cryptography() -> tuple[ModuleType, ModuleType]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise MissingExtraError("cryptography", "sign", "signing a bundle or checking its signature") from None
    return serialization, ed25519

"""Signatures of checksums, with keys as OpenSSL writes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from keypairs import write_pair

from edgekd.bundle import signing
from edgekd.errors import BadInputError


def test_a_signature_holds_for_its_text_and_key_alone(tmp_path: Path) -> None:
    write_pair(tmp_path)
    write_pair(tmp_path, "other")
    signature = signing.sign(b"sums", tmp_path / "key.pem")
    assert len(signature) == 64
    assert signing.sign(b"sums", tmp_path / "key.pem") == signature
    assert signing.check(b"sums", signature, tmp_path / "key.pub.pem")
    assert not signing.check(b"Sums", signature, tmp_path / "key.pub.pem")
    assert not signing.check(b"sums", signature, tmp_path / "other.pub.pem")
    assert not signing.check(b"sums", signature[:-1], tmp_path / "key.pub.pem")
    assert not signing.check(b"sums", b"", tmp_path / "key.pub.pem")


def test_any_flipped_bit_of_a_signature_is_seen(tmp_path: Path) -> None:
    write_pair(tmp_path)
    signature = signing.sign(b"sums", tmp_path / "key.pem")
    for bit in range(8 * len(signature)):
        flipped = bytearray(signature)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not signing.check(b"sums", bytes(flipped), tmp_path / "key.pub.pem")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.pem", r"found no readable file \(No such file or directory\), expected a private key"),
        ("curve.pem", "found a key of another kind, expected a private ed25519 key"),
        ("locked.pem", "found a private key with a password, expected one without"),
        ("key.pub.pem", "found a public key, expected a private ed25519 key in PEM"),
        ("notes.txt", "found a file without one, expected a private ed25519 key in PEM"),
    ],
)
def test_a_key_that_can_not_sign_is_refused(tmp_path: Path, name: str, message: str) -> None:
    write_pair(tmp_path)
    write_pair(tmp_path, "curve", curve=True)
    write_pair(tmp_path, "locked", b"secret")
    (tmp_path / "notes.txt").write_text("no key")
    with pytest.raises(BadInputError, match=message):
        signing.sign(b"sums", tmp_path / name)


def test_a_private_key_is_no_key_to_check_with(tmp_path: Path) -> None:
    write_pair(tmp_path)
    with pytest.raises(BadInputError, match="found a private key, expected a public ed25519 key in PEM"):
        signing.check(b"sums", bytes(64), tmp_path / "key.pem")

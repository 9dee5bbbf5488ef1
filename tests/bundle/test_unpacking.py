"""Zips and folders that somebody made to do harm, or that broke on the way: each is refused whole, with a reason."""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekd.bundle import archive, unpacking
from edgekd.bundle.unpacking import Limits
from edgekd.errors import BadInputError

FILES = {"manifest.json": b"{}", "golden/a.bin": bytes(range(256)), "SHA256SUMS": b"no sums"}
DIRECTORY, END = b"PK\x01\x02", b"PK\x05\x06"


def packed(*entries: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as file:
        for name, content in entries:
            file.writestr(name, content)
    return target.getvalue()


def put(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "bundle.zip"
    path.write_bytes(content)
    return path


def refusal(tmp_path: Path, content: bytes, limits: Limits = unpacking.LIMITS) -> str:
    with pytest.raises(BadInputError) as caught:
        unpacking.read(put(tmp_path, content), limits)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle.zip"]  # nothing was written
    assert str(caught.value).isascii()
    return caught.value.message


def test_a_zip_of_edgekd_is_read(tmp_path: Path) -> None:
    assert unpacking.read(put(tmp_path, archive.packed(FILES))) == FILES


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_made_by_another_program_is_read(tmp_path: Path, compression: int) -> None:
    entries = [("golden/", b""), *reversed(FILES.items())]
    assert unpacking.read(put(tmp_path, packed(*entries, compression=compression))) == FILES


def test_a_zip_that_was_written_to_a_pipe_is_read(tmp_path: Path) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

        def seek(self, *_: int) -> int:
            raise OSError

    target = Pipe()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in FILES.items():
            file.writestr(name, content)
    assert unpacking.read(put(tmp_path, target.getvalue())) == FILES


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "golden/../../evil",
        "/etc/evil",
        "C:/evil",
        "..\\evil",
        "golden//evil",
        "./evil",
        ".hidden",
        "a b",
        "a\nb",
        "\x1b[2Jevil",
        "caf\N{LATIN SMALL LETTER E WITH ACUTE}",
        "cafe\N{COMBINING ACUTE ACCENT}",
        "gold\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe",
        "\N{FULLWIDTH FULL STOP}\N{FULLWIDTH FULL STOP}/evil",
        "x" * 201,
        "evil.json\x00.txt",
    ],
)
def test_a_name_that_no_bundle_has_is_refused(tmp_path: Path, name: str) -> None:
    entry = zipfile.ZipInfo("x")
    entry.filename = name
    assert "found such a name" in refusal(tmp_path, packed(*FILES.items(), (entry, b"evil")))


@pytest.mark.parametrize("name", ["Manifest.json", "manifest.json", "GOLDEN/a.bin"])
def test_names_that_some_systems_hold_for_one_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.warns(UserWarning, match="Duplicate") if name in FILES else pytest.MonkeyPatch.context():
        content = packed(*FILES.items(), (name, b"evil"))
    assert "two files that some systems hold for one" in refusal(tmp_path, content)


def test_a_file_below_a_file_is_refused(tmp_path: Path) -> None:
    assert "a file below another file" in refusal(tmp_path, packed(*FILES.items(), ("manifest.json/x", b"")))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_a_link_device_or_pipe_is_refused(tmp_path: Path, kind: int) -> None:
    entry = zipfile.ZipInfo("model.onnx")
    entry.create_system, entry.external_attr = 3, (kind | 0o777) << 16
    assert "a link, device or pipe, expected a plain file" in refusal(tmp_path, packed((entry, b"/etc/passwd")))


def test_too_many_files_are_refused_by_the_directory_alone(tmp_path: Path) -> None:
    content = packed(*((f"{number}", b"") for number in range(100_000)))
    assert "more than 10,000 files" in refusal(tmp_path, content)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    content = packed(("model.onnx", bytes(80 << 20)), compression=zipfile.ZIP_DEFLATED)
    assert "expected 100 times as many at most" in refusal(tmp_path, content)


def test_a_zip_above_the_limit_of_bytes_is_refused(tmp_path: Path) -> None:
    assert "more than 200 bytes" in refusal(tmp_path, archive.packed(FILES), Limits(size_bytes=200))


def test_a_bomb_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    content = bytearray(packed(("model.onnx", bytes(1 << 20)), compression=zipfile.ZIP_DEFLATED))
    small = struct.pack("<L", 10)
    content[22:26] = small  # in the file's own header, and in the directory
    place = content.index(DIRECTORY)
    content[place + 24 : place + 28] = small
    assert refusal(tmp_path, bytes(content))


def test_files_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """As the bombs do that grow by the square: many names, one stream."""
    content = bytearray(packed(("a", b"same"), ("b", b"same")))
    second = content.index(DIRECTORY, content.index(DIRECTORY) + 4)
    content[second + 42 : second + 46] = struct.pack("<L", 0)
    assert refusal(tmp_path, bytes(content))


@pytest.mark.parametrize(
    ("offset", "value"),
    [(6, b"\x02\x00"), (8, b"\x08\x00"), (10, b"\x01\x00"), (14, b"\x00\x00\x00\x00"), (18, b"\x01\x00\x00\x00")],
    ids=["flags", "method", "time", "checksum", "size"],
)
def test_a_header_that_contradicts_the_directory_is_refused(tmp_path: Path, offset: int, value: bytes) -> None:
    content = bytearray(archive.packed(FILES))
    content[offset : offset + len(value)] = value
    assert "a header that says something else than the zip's directory" in refusal(tmp_path, bytes(content))


def test_another_name_in_the_header_than_in_the_directory_is_refused(tmp_path: Path) -> None:
    content = archive.packed(FILES).replace(b"SHA256SUMS", b"SHA256SUMZ", 1)
    assert "a header that says something else" in refusal(tmp_path, content)


def test_an_encrypted_file_is_refused(tmp_path: Path) -> None:
    content = bytearray(packed(("model.onnx", b"secret")))
    content[6] |= 1
    content[content.index(DIRECTORY) + 8] |= 1
    assert "an encrypted file, expected a plain one" in refusal(tmp_path, bytes(content))


def test_a_rare_compression_is_refused(tmp_path: Path) -> None:
    content = packed(("model.onnx", b"secret"), compression=zipfile.ZIP_LZMA)
    assert "the compression 14, expected none or deflate" in refusal(tmp_path, content)


def test_a_truncated_zip_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    content = archive.packed(FILES)
    for length in range(0, len(content), 7):
        assert refusal(tmp_path, content[:length])


def test_changed_bytes_are_seen_by_the_zips_own_checksum(tmp_path: Path) -> None:
    content = archive.packed(FILES).replace(b"no sums", b"so sums")
    assert "Bad CRC-32" in refusal(tmp_path, content)


@pytest.mark.parametrize("content", [b"", b"{}", b"PK", END + bytes(18), END + b"\xff" * 18])
def test_something_else_than_a_zip_is_refused_or_empty(tmp_path: Path, content: bytes) -> None:
    path = put(tmp_path, content)
    if content == END + bytes(18):
        assert unpacking.read(path) == {}  # a zip without files, which verify then misses the manifest in
    else:
        assert "found no zip that can be read" in refusal(tmp_path, content)


def test_a_folder_is_read(tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert unpacking.read(tmp_path) == FILES


def link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def folder_link(path: Path) -> None:
    path.symlink_to("/etc")


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize("make", [link, folder_link, dangling, os.mkfifo])
def test_a_link_or_pipe_in_a_folder_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "model.onnx")
    with pytest.raises(BadInputError, match=r"'model\.onnx': found a link, device or pipe"):
        unpacking.read(tmp_path)


def test_a_folder_has_the_same_limits(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(b"12345")
    for limits, message in ((Limits(files=2), "more than 2 files"), (Limits(size_bytes=12), "more than 12 bytes")):
        with pytest.raises(BadInputError, match=message):
            unpacking.read(tmp_path, limits)
    (tmp_path / "a b").write_bytes(b"")
    with pytest.raises(BadInputError, match="found such a name"):
        unpacking.read(tmp_path)


def test_what_is_not_there_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="found no such folder or file, expected a bundle"):
        unpacking.read(tmp_path / "absent")

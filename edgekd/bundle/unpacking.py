"""Read a bundle that somebody else handed over: a folder, or a zip that may be damaged or hostile.

Everything is read into memory under names that can do no harm; nothing is written, followed or executed.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import TypeAdapter, ValidationError

from edgekd.bundle.manifest import Place
from edgekd.errors import BadInputError

MOST_FILES = 10_000
MOST_BYTES = 2 << 30
MOST_TIMES = 100  # a zip's contents by its own size, where they are more than HARMLESS_BYTES
HARMLESS_BYTES = 64 << 20
PLACE: TypeAdapter[str] = TypeAdapter(Place)
LOCAL = struct.Struct("<4s5H3L2H")  # the header before each file in a zip
ENCRYPTED = 0x1
SIZES_FOLLOW = 0x8  # the local header leaves checksum and sizes to a record behind the file
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
HINT = "take the bundle again from who made it"
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError, UnicodeDecodeError, ValueError)

Files = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a bundle may be at most."""

    files: int = MOST_FILES
    size_bytes: int = MOST_BYTES
    times: int = MOST_TIMES
    harmless_bytes: int = HARMLESS_BYTES


LIMITS = Limits()


def read(path: Path, limits: Limits = LIMITS) -> Files:
    """The files of a bundle, by their place in it, sorted.

    Raises:
        BadInputError: neither a folder nor a zip, a damaged or hostile zip, or a name, link or size that no bundle has.

    """
    if path.is_dir():
        return read_folder(path, limits)
    if not path.is_file():
        raise BadInputError(f"{path}: found no such folder or file, expected a bundle", "check the path")
    return read_zip(path, limits)


def read_folder(root: Path, limits: Limits = LIMITS) -> Files:
    """The files below ``root``; a link is refused, wherever it points."""
    found: dict[str, bytes] = {}
    left = limits.size_bytes
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        name = path.relative_to(root).as_posix()
        if stat.S_ISDIR(mode):
            continue
        if not stat.S_ISREG(mode):
            raise _refused(root, name, "a link, device or pipe", "a plain file")
        _check_name(root, name)
        if len(found) >= limits.files:
            raise _too_many(root, limits)
        left -= path.lstat().st_size
        if left < 0:
            raise _too_large(root, limits)
        try:
            found[name] = path.read_bytes()
        except OSError as error:
            raise _refused(root, name, f"a file that can't be read ({error.strerror})", "a readable one") from error
    return found


def read_zip(path: Path, limits: Limits = LIMITS) -> Files:
    """The files in the zip at ``path``.

    Raises:
        BadInputError: what is said at :func:`read`; the whole zip is refused, nothing of it is returned.

    """
    if path.stat().st_size > limits.size_bytes:
        raise _too_large(path, limits)
    try:
        with zipfile.ZipFile(path) as file:
            entries = file.infolist()
            _check_amount(path, entries, limits)
            _check_places(path, entries)
            return dict(sorted(_contents(path, file, entries)))
    except DAMAGED as error:
        raise _damaged(path, str(error)) from error
    except (OSError, RuntimeError) as error:  # zipfile's for a password, and for what can't be read
        raise _damaged(path, str(error)) from error


def _check_amount(path: Path, entries: list[zipfile.ZipInfo], limits: Limits) -> None:
    """Told by the directory alone, before anything is unpacked; :func:`_contents` sees that it does not lie."""
    if len(entries) > limits.files:
        raise _too_many(path, limits)
    total = sum(entry.file_size for entry in entries)
    if total > limits.size_bytes:
        raise _too_large(path, limits)
    packed = path.stat().st_size
    if total > max(limits.harmless_bytes, limits.times * packed):
        raise BadInputError(
            f"{path}: found {total:,} bytes in a zip of {packed:,}, expected {limits.times} times as many at most", HINT
        )


def _check_places(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    seen: dict[str, str] = {}
    for entry in entries:
        name = entry.filename
        _check_name(path, entry.orig_filename.removesuffix("/"))  # zipfile itself cuts names at a null byte
        if entry.is_dir():
            continue
        _check_kind(path, entry)
        key = name.casefold()
        if key in seen:
            raise _refused(path, name, f"two files that some systems hold for one ({seen[key]!r})", "one")
        seen[key] = name
    for name in seen.values():
        if any(str(parent).casefold() in seen for parent in PurePosixPath(name).parents):
            raise _refused(path, name, "a file below another file", "a folder")


def _check_kind(path: Path, entry: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise _refused(path, entry.filename, "a link, device or pipe", "a plain file")
    if entry.flag_bits & ENCRYPTED:
        raise _refused(path, entry.filename, "an encrypted file", "a plain one")
    if entry.compress_type not in METHODS:
        raise _refused(path, entry.filename, f"the compression {entry.compress_type}", "none or deflate")


def _contents(path: Path, file: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> Iterator[tuple[str, bytes]]:
    """Each file, once its own header agrees with the directory and no two files share bytes."""
    end = 0
    for entry in sorted(entries, key=lambda each: each.header_offset):
        if entry.header_offset < end:
            raise _refused(path, entry.filename, "a file that overlaps another", "files one after another")
        end = _check_header(path, file, entry)
        if entry.is_dir():
            continue
        with file.open(entry) as stream:
            content = stream.read(entry.file_size + 1)  # one more: a stream that goes on is refused below
        if len(content) != entry.file_size:
            raise _refused(path, entry.filename, "another size than the zip's directory says", "the same")
        yield entry.filename, content


def _check_header(path: Path, file: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """Refuse a local header that says something else than the directory; return where the file's bytes end."""
    stream = file.fp
    if stream is None:
        raise zipfile.BadZipFile("it is closed")
    stream.seek(entry.header_offset)
    sign, _, flags, method, time, date, crc, packed, size, name_bytes, extra_bytes = LOCAL.unpack(
        stream.read(LOCAL.size)
    )
    name = stream.read(name_bytes)
    told = entry.orig_filename.encode("utf-8" if entry.flag_bits & 0x800 else "cp437")
    year, month, day, hour, minute, second = entry.date_time
    same = (
        sign == b"PK\x03\x04"
        and (flags, method, name) == (entry.flag_bits, entry.compress_type, told)
        and date == (year - 1980) << 9 | month << 5 | day
        and time == hour << 11 | minute << 5 | second // 2
    )
    if not flags & SIZES_FOLLOW:
        large = 0xFFFFFFFF in (packed, size)  # then they stand in an extra field, which zipfile has read
        same = same and crc == entry.CRC and (large or (packed, size) == (entry.compress_size, entry.file_size))
    if not same:
        raise _refused(path, entry.filename, "a header that says something else than the zip's directory", "the same")
    return int(entry.header_offset + LOCAL.size + name_bytes + extra_bytes + entry.compress_size)


def _check_name(path: Path, name: str) -> None:
    try:
        PLACE.validate_python(name)
    except ValidationError:
        raise _refused(
            path, name, "such a name", "letters, digits, '.', '_' and '-' in folders below the bundle, no more"
        ) from None


def _refused(path: Path, name: str, found: str, expected: str) -> BadInputError:
    shown = ascii(name)[:80]  # it may hold what a terminal would act on
    return BadInputError(f"{path}: {shown}: found {found}, expected {expected}", HINT)


def _too_many(path: Path, limits: Limits) -> BadInputError:
    return BadInputError(f"{path}: found more than {limits.files:,} files, more than a bundle has", HINT)


def _too_large(path: Path, limits: Limits) -> BadInputError:
    return BadInputError(f"{path}: found more than {limits.size_bytes:,} bytes, more than a bundle has", HINT)


def _damaged(path: Path, reason: str) -> BadInputError:
    return BadInputError(f"{path}: found no zip that can be read, expected a bundle: {ascii(reason)[1:-1]}", HINT)

"""What stdout and stderr can't encode is spelled in ASCII: no terminal, pipe or locale makes a finished build fail."""

from __future__ import annotations

import codecs
import io
import sys

SPELLED = {
    "µ": "u",
    "·": ".",
    "…": "...",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MINUS SIGN}": "-",
    "\N{MULTIPLICATION SIGN}": "x",
    "≤": "<=",
    "≥": ">=",
    "→": "->",
    "±": "+-",
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "“": '"',
    "”": '"',
    "━": "-",
    "╸": "-",
    "╺": "-",
}
ERRORS, ASCII = "edgekd-spelled", "edgekd-ascii"


def prepare() -> None:
    """Make stdout and stderr take any text."""
    codecs.register_error(ERRORS, _spelled)
    codecs.register(_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # click writes UTF-8 to what says that it is ASCII; under this name it lets it be
            is_ascii = codecs.lookup(stream.encoding).name == "ascii"
            stream.reconfigure(encoding=ASCII if is_ascii else stream.encoding, errors=ERRORS)


def _spelled(error: UnicodeError) -> tuple[str | bytes, int]:
    """The next character in ASCII; a byte of a file's name that is no text, as it is."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return SPELLED.get(character, "?"), error.start + 1


def _ascii(name: str) -> codecs.CodecInfo | None:
    if name.replace("_", "-") != ASCII:
        return None
    plain = codecs.lookup("ascii")
    return codecs.CodecInfo(
        plain.encode,
        plain.decode,
        plain.streamreader,
        plain.streamwriter,
        plain.incrementalencoder,
        plain.incrementaldecoder,
        name=ASCII,
    )

"""Ctrl-C that isn't lost: Python raises KeyboardInterrupt wherever it happens to be, and some callers swallow it.

What runs below a native library's callback, a finaliser or a weak reference can't pass an exception on; the library
warns or prints it and goes on. So the key press is remembered, and raised again at the next step or batch.
"""

from __future__ import annotations

import signal
from types import FrameType

_pressed: list[int] = []  # the signals that came


def remember() -> None:
    """Remember every Ctrl-C from here on; where something else handles it, or ignores it, that stays."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _press)


def check() -> None:
    """Raise for a Ctrl-C that was swallowed.

    Raises:
        KeyboardInterrupt: it was pressed before, and the program still runs.

    """
    if _pressed:
        raise KeyboardInterrupt


def _press(number: int, _frame: FrameType | None) -> None:
    _pressed.append(number)
    raise KeyboardInterrupt

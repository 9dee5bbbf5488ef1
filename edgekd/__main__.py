"""``python -m edgekd``: the same as the command ``edgekd``."""

from edgekd.cli import entry

if __name__ == "__main__":
    entry()

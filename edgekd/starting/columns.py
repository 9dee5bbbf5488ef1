"""Which column of a table is what: by its name, else by what it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgekd.errors import BadInputError

KNOWN: Mapping[str, tuple[str, ...]] = {  # in the order of preference
    "query": ("query", "question", "anchor", "sentence1", "sentence_a", "premise"),
    "document": ("document", "answer", "positive", "passage", "context", "response", "sentence2", "sentence_b"),
    "image": ("image", "image_path", "file", "filename", "file_name", "path"),
    "text": ("text", "sentence", "content", "body", "review", "message", "comment", "utterance", "tweet", "title"),
    "label": ("label", "labels", "class", "category", "target", "intent", "sentiment", "topic", "tag", "kind"),
}
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
LOOKED_AT = 2000  # rows
MOST_CLASSES = 1000

Rows = Mapping[str, Sequence[str]]


def roles(rows: Rows, given: Mapping[str, str], where: str) -> dict[str, str]:
    """The column of each role that was found: image and label, query and document, or text with or without a label.

    Raises:
        BadInputError: a column that was named and isn't there; or nothing that could be text or an image.

    """
    for role, column in given.items():
        if column not in rows:
            raise BadInputError(
                f"--column {role}={column}: found no such column in {where}, expected one of {', '.join(rows)}"
            )
    found = {**_by_name(rows), **given}
    if {"query", "document"} <= found.keys() and "label" not in given:
        return {role: found[role] for role in ("query", "document")}
    if "image" in found and _are_pictures(rows[found["image"]]):
        found.pop("text", None)
    else:
        found.pop("image", None)
        if "text" not in found:
            found["text"] = _wordiest(rows, found, where)
    if "label" not in found and (label := _few_values(rows, found)):
        found["label"] = label
    return {role: found[role] for role in ("image", "text", "label") if role in found}


def _by_name(rows: Rows) -> dict[str, str]:
    lowered = {column.strip().lower(): column for column in rows}
    matches = {role: next((lowered[name] for name in names if name in lowered), "") for role, names in KNOWN.items()}
    return {role: column for role, column in matches.items() if column}


def _are_pictures(values: Sequence[str]) -> bool:
    return bool(values) and all(value.lower().endswith(PICTURES) for value in values[:LOOKED_AT])


def _wordiest(rows: Rows, taken: Mapping[str, str], where: str) -> str:
    """The column with most words a row, of those with more than one."""
    words = {
        column: sum(len(value.split()) for value in values[:LOOKED_AT]) / max(len(values[:LOOKED_AT]), 1)
        for column, values in rows.items()
        if column not in taken.values()
    }
    best = max(words, key=lambda column: words[column], default="")
    if not best or words[best] <= 1:
        raise BadInputError(
            f"{where}: found the columns {', '.join(rows)}, none of which looks like text or paths of images",
            "say which it is: --column text=NAME, or --column image=NAME",
        )
    return best


def _few_values(rows: Rows, taken: Mapping[str, str]) -> str:
    """A column whose values come again and again; '' where none or several do."""
    found = []
    for column, values in rows.items():
        kinds = len(set(values))
        if column not in taken.values() and 2 <= kinds <= min(MOST_CLASSES, len(values) // 5):
            found.append(column)
    return found[0] if len(found) == 1 else ""

"""Every message that edgekd can end with, read from its sources: the page on troubleshooting misses none.

A message is a text with '…' for what is only known when it is said. It is found where an error is made: a call of
EdgekdError or a child of it anywhere, and ValueErrors of what a file's tables are parsed into. Where an error is given
its reason by a function, the reasons are found by their form: "found …, expected …".
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekd import errors
from edgekd.errors import EXIT_BUG, EXIT_STAGE, EXIT_USAGE

PACKAGE = Path(errors.__file__).parent
GAP = "…"
OR = " | "  # between the two texts of which one is said
NEAREST = "the names that are known, the nearest ones first, stand in the hint"
MISSING = f"{GAP} needs the package '{GAP}', which is not installed"
SAID = "the message says what was expected"
# Modules whose ValueErrors a user sees: they parse the tables of pipelines and devices, or a bundle's files.
PARSED = re.compile(r"edgekd/(pipeline|device|reach|teachers|applicable|learnable|stages/\w+|objectives/\w+)\.py")
REASON = re.compile(r"\bfound .*\bexpected |^expected |^found ")
ROOTS = {"BadInputError": EXIT_USAGE, "StageError": EXIT_STAGE, "EdgekdError": EXIT_STAGE, "UsageError": EXIT_USAGE}


@dataclass(frozen=True, order=True)
class Entry:
    """A message as it is said, and what to do."""

    area: str
    message: str
    hint: str
    exit_code: int | None  # None: a reason, which stands inside another message
    origin: str  # file and line

    def says(self, text: str) -> bool:
        """Whether ``text`` is this message, or a reason in it, with something in each gap."""
        around = ".*" if self.exit_code is None else ""
        pattern = ".*".join(re.escape(part) for part in self.message.split(GAP))
        return re.fullmatch(around + pattern + around, " ".join(text.split()), re.DOTALL) is not None


def entries(package: Path = PACKAGE) -> list[Entry]:
    """All messages of the package, sorted; the same one from several places stands once in each area."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(package.rglob("*.py"))}
    codes = _codes(trees.values())
    constants = {path: _texts(tree.body) for path, tree in trees.items()}
    shared = {name: text for each in constants.values() for name, text in each.items()}
    found: dict[tuple[str, str], Entry] = {}
    for path, tree in trees.items():
        module = _Module(path.relative_to(package.parent).as_posix(), shared | constants[path], codes)
        for entry in (*module.errors(tree), *module.reasons(tree)):
            words = re.findall(r"\w{3,}", entry.message)
            if len(words) > (entry.exit_code is None):  # else it is nothing but a reason
                found.setdefault((entry.area, entry.message), entry)
    return sorted({**found, **{(each.area, each.message): each for each in LAST}}.values())


LAST = (
    Entry("command line", f"the disk is full: {GAP}", "free some space; finished steps are kept", EXIT_STAGE, ""),
    Entry("command line", f"a bug in edgekd: {GAP}", "report it with the log whose path is printed", EXIT_BUG, ""),
)


def _codes(trees: Iterable[ast.Module]) -> dict[str, int]:
    """The exit code of each class that is an error of edgekd's, by its name."""
    codes = dict(ROOTS)
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for _ in range(3):  # children of children
        for each in classes:
            for base in each.bases:
                if isinstance(base, ast.Name) and base.id in codes:
                    codes.setdefault(each.name, codes[base.id])
    return codes


def _texts(body: list[ast.stmt]) -> dict[str, ast.expr]:
    """What each name is set to, where it is set once."""
    found: dict[str, list[ast.expr]] = {}
    for node in (inner for each in body for inner in ast.walk(each)):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, []).append(node.value)
    return {name: values[0] for name, values in found.items() if len(values) == 1}


@dataclass(frozen=True)
class _Module:
    """One module's errors."""

    path: str
    names: Mapping[str, ast.expr]
    codes: Mapping[str, int]

    def errors(self, tree: ast.Module) -> Iterator[Entry]:
        """One for each call that makes an error."""
        parsed = PARSED.fullmatch(self.path) is not None
        for scope, call in _calls(tree):
            name = _name(call)
            if name == "MissingExtraError":
                yield self._entry(MISSING, "install it with the command that the hint gives", EXIT_USAGE, call)
            elif (name in self.codes or (parsed and name == "ValueError")) and call.args:
                local = {**self.names, **(_texts(scope.body) if scope else {})}
                hint = said(call.args[1], local) if len(call.args) > 1 else ""
                yield self._entry(said(call.args[0], local), hint, self.codes.get(name, EXIT_USAGE), call)

    def reasons(self, tree: ast.Module) -> Iterator[Entry]:
        """One for each text that says what was found and expected, and stands in no such call."""
        taken = {id(inner) for _, call in _calls(tree) if _name(call).endswith("Error") for inner in ast.walk(call)}
        for node in _outermost_texts(tree):
            text = said(node, self.names)
            if id(node) not in taken and REASON.search(text):
                yield self._entry(text, "", None, node)

    def _entry(self, message: str, hint: str, code: int | None, node: ast.expr) -> Entry:
        return Entry(area(self.path), tidy(message), tidy(hint) or SAID, code, f"{self.path}:{node.lineno}")


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _outermost_texts(tree: ast.Module) -> Iterator[ast.expr]:
    """The texts that are part of no larger one and no docstring."""
    larger = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr | ast.Expr)]
    inner = {id(part) for node in larger for part in ast.walk(node) if part is not node}
    for node in ast.walk(tree):
        text = isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
        if text and id(node) not in inner:
            yield node  # type: ignore[misc]  # it is one of the two


def _calls(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef | None, ast.Call]]:
    """Every call, with the innermost function that it stands in."""
    owners: dict[int, ast.FunctionDef] = {}
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        owners.update({id(inner): function for inner in ast.walk(function)})
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield owners.get(id(node)), node


def said(node: ast.expr, names: Mapping[str, ast.expr], depth: int = 0) -> str:
    """The text that an expression gives, with gaps."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else GAP
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add)):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node.left, node.right]
        return "".join(said(part, names, depth) for part in parts)
    if isinstance(node, ast.FormattedValue) and _shown(node.value):
        return said(node.value, names, depth)
    if isinstance(node, ast.IfExp):
        return OR.join(said(part, names, depth) for part in (node.body, node.orelse))
    if isinstance(node, ast.Name) and node.id in names and depth < 3:
        return said(names[node.id], names, depth + 1)
    return NEAREST if isinstance(node, ast.Call) and _name(node) == "nearest" else GAP


def _shown(value: ast.expr) -> bool:
    """Whether a value within a text is told: a constant of a module, or one of two texts."""
    return isinstance(value, ast.IfExp) or (isinstance(value, ast.Name) and value.id.isupper())


def tidy(text: str) -> str:
    """One line, without gaps beside gaps."""
    return re.sub(rf"{GAP}(?:\s*{GAP})+", GAP, " ".join(text.split()))


def area(path: str) -> str:
    """The part of edgekd that a module belongs to, as a heading says it."""
    inner = path.removeprefix("edgekd/")
    return AREAS.get(inner.split("/")[0].removesuffix(".py"), "pipelines, devices and the build")


AREAS = {
    "cli": "command line",
    "data": "data",
    "tasks": "data",
    "teachers": "teachers and students",
    "models": "teachers and students",
    "objectives": "losses",
    "stages": "stages",
    "algorithms": "stages",
    "exporters": "model files",
    "quantizers": "model files",
    "runtimes": "model files",
    "traces": "model files",
    "profile": "measuring",
    "targets": "measuring",
    "bundle": "bundles",
    "report": "reports",
}


def markdown() -> str:
    """The index: a heading for each area, a line for each message."""
    lines: list[str] = []
    for entry in entries():
        heading = f"### {entry.area[0].upper()}{entry.area[1:]}"
        if heading not in lines:
            lines += [heading, ""]
        where = "inside another message" if entry.exit_code is None else f"exit code {entry.exit_code}"
        lines += [f"`{entry.message}`", f":   {_plain(entry.hint)} ({where})", ""]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """The text with what Markdown or HTML would act on escaped."""
    return re.sub(r"([\\`*_<>\[\]|])", r"\\\1", text)

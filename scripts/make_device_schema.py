"""Write the JSON Schema of device files, by which editors complete and check them.

python scripts/make_device_schema.py [--check]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgekd.device import LIKE, Device

FILE = Path(__file__).parents[1] / "docs" / "device.schema.json"
READ_FROM_PLACE = ("name", "path", "limits")  # what no file holds


def schema() -> str:
    made = Device.model_json_schema()
    for name in READ_FROM_PLACE[1:]:
        made["properties"].pop(name)
    for unused in ("Limit",):
        made["$defs"].pop(unused, None)
    for key in LIKE:
        made["properties"][key] = {
            "type": "string",
            "description": "another device, whose keys, tables and facts count where this has none",
        }
    made.pop("required", None)  # a file with 'like' may leave out anything
    for quantity in _quantities(made):
        quantity.clear()
        quantity.update(type="string", description="a number with its unit")
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **made}, indent=1) + "\n"


def _quantities(node: object) -> list[dict[str, object]]:
    """Numbers that files write as text with a unit."""
    if isinstance(node, list):
        return [found for each in node for found in _quantities(each)]
    if not isinstance(node, dict):
        return []
    if node.get("type") == "number":
        return [node]
    return [found for each in node.values() for found in _quantities(each)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the JSON Schema of device files.")
    parser.add_argument("--check", action="store_true", help="fail if the published file is not current")
    if not parser.parse_args().check:
        FILE.write_text(schema(), encoding="utf-8")
    elif FILE.read_text(encoding="utf-8") != schema():
        raise SystemExit(f"{FILE} is not current: run scripts/make_device_schema.py")


if __name__ == "__main__":
    main()

"""manifest.json, and the JSON Schema that it follows."""

import json
from collections.abc import Mapping

from edgekd.bundle import manifest
from edgekd.bundle.inputs import BundleInputs
from edgekd.bundle.manifest import Place

SCHEMA = "schema/manifest.schema.json"


def files(inputs: BundleInputs) -> Mapping[Place, bytes]:
    """Both."""
    schema = json.dumps(manifest.schema(), indent=1, sort_keys=True) + "\n"
    return {manifest.NAME: manifest.text(inputs.manifest).encode(), SCHEMA: schema.encode()}

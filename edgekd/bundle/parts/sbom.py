"""The bill of what made the bundle."""

from collections.abc import Mapping

from edgekd.bundle import sbom
from edgekd.bundle.inputs import BundleInputs
from edgekd.bundle.manifest import Place


def files(inputs: BundleInputs) -> Mapping[Place, bytes]:
    """In CycloneDX."""
    return {sbom.NAME: sbom.sbom(inputs.making, inputs.manifest)}

"""The parts of a bundle: each gives files by their place, from BundleInputs alone. A module each, and one line here."""

from collections.abc import Callable, Mapping

from edgekd.bundle.inputs import BundleInputs
from edgekd.bundle.manifest import Place
from edgekd.bundle.parts import made, manifest, model_card, report, samples, sbom

Part = Callable[[BundleInputs], Mapping[Place, bytes]]

PARTS: dict[str, Part] = {
    "made": made.files,
    "manifest": manifest.files,
    "model card": model_card.files,
    "report": report.files,
    "samples": samples.files,
    "sbom": sbom.files,
}

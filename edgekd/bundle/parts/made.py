"""What the build made for the bundle: models, golden vectors, labels, tokenizer, licences."""

from collections.abc import Mapping

from edgekd.bundle.inputs import BundleInputs
from edgekd.bundle.manifest import Place


def files(inputs: BundleInputs) -> Mapping[Place, bytes]:
    """As they are."""
    return inputs.files

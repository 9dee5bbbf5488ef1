"""The run's report, as JSON and, where the run has it, as a page."""

from collections.abc import Mapping

from edgekd.bundle.inputs import BundleInputs
from edgekd.bundle.manifest import Place


def files(inputs: BundleInputs) -> Mapping[Place, bytes]:
    """As they are."""
    return inputs.run_files

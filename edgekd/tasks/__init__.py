"""Tasks: how inputs are prepared and how outputs are scored. A module each, and one line here."""

from types import ModuleType

from edgekd.tasks import image_classification

TASKS: dict[str, ModuleType] = {image_classification.NAME: image_classification}

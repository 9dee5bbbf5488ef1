"""Losses as pure functions of tensors, and the module that adds up those of a pipeline."""

from __future__ import annotations

from edgekd.algorithms.losses.logits import distillation, standardize
from edgekd.algorithms.losses.two_terms import LossTerms, student_loss

__all__ = ["LossTerms", "distillation", "standardize", "student_loss"]

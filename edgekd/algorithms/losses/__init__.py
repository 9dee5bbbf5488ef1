"""Losses as pure functions of tensors, and the module that adds up those of a pipeline."""

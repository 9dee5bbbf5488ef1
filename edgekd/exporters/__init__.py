"""Exports of models that take texts: how token ids and masks appear in a file."""

"""Quantization of models that take texts: weights ahead of time, activations while the model runs."""

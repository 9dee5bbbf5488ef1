"""INT8 of a model file: with fixed ranges, with activations quantized as the file runs, or of its weights alone."""

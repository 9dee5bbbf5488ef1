"""The parts of benchmarks/quantization.py: models with data, edgekd's and the rivals' INT8 files, and the table."""

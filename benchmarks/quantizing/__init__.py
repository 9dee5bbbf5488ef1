"""The parts of benchmarks/quantization.py: models with their data, edgekd's and the rivals' INT8 files, and the table."""

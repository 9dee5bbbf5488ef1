"""The parts of benchmarks/distillation.py: a module each, with the targets of its rows."""

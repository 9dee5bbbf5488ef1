"""Measurements: a timed session in a child process, memory, energy, conditions."""

"""Which conditions keep two figures from being compared."""

from __future__ import annotations

from collections.abc import Mapping

# What varies from one session to the next on the same machine, or only explains a figure.
STATE = frozenset(
    {
        *("clock_mhz", "clock_mhz_after", "temperature_celsius", "temperature_celsius_after", "load_average_1min"),
        *("throttle_events", "throttled", "warmup_settled", "base_memory_bytes", "load_peak_bytes", "battery_celsius"),
        *("battery_percent", "file_size_bytes", "basis", "power_basis", "operators_never_seen", "nearest_reference"),
        *("energy_with_rest_j", "power_at_rest_w", "power_running_w", "standard_error_j", "rails_that_draw_most"),
        *("readings", "readings_per_second", "integrated_seconds", "left_by_earlier_sessions", "operators_on_cpu"),
        *("runner_from", "share_of_time_in_runs"),
        *(f"runs_{name}_us" for name in ("first", "min", "max", "avg", "std", "p5", "median", "p95")),
        "runs_count",
    }
)
VERSIONS = frozenset({"numpy", "onnxruntime", "ai-edge-litert", "python"})  # what a comparison may be about


def different(first: Mapping[str, str], second: Mapping[str, str]) -> tuple[str, ...]:
    """The conditions that both figures tell and that differ, each with both values.

    >>> different({"cpu": "A", "threads": "1", "numpy": "2.0"}, {"cpu": "B", "threads": "1", "numpy": "2.1"})
    ("cpu: 'A' and 'B'",)
    """
    shared = [name for name in first if name in second and name not in STATE | VERSIONS]
    shared = [
        name for name in shared if name != "core" or "model_version" in first
    ]  # of a host: where it happened to run
    return tuple(f"{name}: {first[name]!r} and {second[name]!r}" for name in shared if first[name] != second[name])

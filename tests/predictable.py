"""Networks to predict, and what is predicted for them."""

from __future__ import annotations

from pathlib import Path

from edgekd.device import Device, load
from edgekd.profile.measurement import Interval, Measurement
from edgekd.runtimes.graph import Graph, Kind, Operator
from edgekd.targets.predicted import predict

FOLDER = Path(__file__).parents[1] / "devices"


def device(name: str) -> Device:
    return load(str(FOLDER / f"{name}.toml"))


def operator(macs: int, kind: Kind = "conv", op_type: str = "CONV_2D", *, int8: bool = True) -> Operator:
    return Operator(
        name="op",
        op_type=op_type,
        kind=kind,
        macs=macs,
        weights=1000,
        weight_bytes=1000,
        bytes_read=4000,
        bytes_written=4000,
        int8=int8,
    )


def graph(*operators: Operator, weight_bytes: int = 60_000) -> Graph:
    return Graph(
        runtime="tflite",
        operators=operators,
        inputs=(),
        outputs=(),
        activation_peak_bytes=20_000,
        weight_bytes=weight_bytes,
        versions={},
    )


TINY = graph(*(operator(200_000) for _ in range(15)))


def of(metric: str, measurements: tuple[Measurement, ...]) -> Measurement:
    (found,) = [each for each in measurements if each.metric == metric]
    return found


def latency(work: Graph, name: str) -> Interval:
    return of("latency", predict(work, device(name), "int8.tflite", 80_000)).predicted["p50"]


# MobileNet V1 1.0/224 in int8 on one thread, as published for boards and phones with these cores
# (ncnn and Paddle-Lite rows in scripts/data/published_latency_rows.csv).
MOBILENET = graph(
    operator(551_000_000), operator(17_400_000, "depthwise", "DEPTHWISE_CONV_2D"), *(operator(0, "other", "ADD"),) * 28
)

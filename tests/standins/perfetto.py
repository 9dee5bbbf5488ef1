"""A stand-in for perfetto on a phone with power rails: it writes a trace by perfetto's own schema once it is ended.

The rail of the processor draws 1 W, and 2 W more while a file 'ran' lies in its folder; that of the memory 0.5 W.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from types import FrameType

from perfetto.protos.perfetto.trace import perfetto_trace_pb2


def boot_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def main() -> None:
    config = sys.stdin.read()
    assert 'name: "android.power"' in config
    assert "collect_power_rails: true" in config
    assert sys.argv[1:] == ["--txt", "-c", "-", "-o", "-"]
    trace = perfetto_trace_pb2.Trace()
    named = trace.packet.add().power_rails
    for index, name in ((1, "S2M_VDD_CPUCL2"), (2, "S8M_LLDO2")):
        descriptor = named.rail_descriptor.add()
        descriptor.index, descriptor.rail_name, descriptor.sampling_rate = index, name, 1023
    joules, before = [5e3, 7e3], boot_s()  # since the phone was started

    def finish(_number: int, _frame: FrameType | None) -> None:
        sys.stdout.buffer.write(trace.SerializeToString())
        sys.stdout.flush()
        sys.exit(0)

    signal.signal(signal.SIGTERM, finish)
    while True:
        now = boot_s()
        joules[0] += (now - before) * (3.0 if Path("ran").exists() else 1.0)
        joules[1] += (now - before) * 0.5
        before, packet = now, trace.packet.add()
        for index, total in enumerate(joules, 1):
            data = packet.power_rails.energy_data.add()
            data.index, data.timestamp_ms, data.energy = index, int(now * 1e3), int(total * 1e6)
        time.sleep(0.02)


main()

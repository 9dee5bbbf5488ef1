"""report.md: the verdict first, what failed first in the table, and nothing of the data is markup."""

from __future__ import annotations

from dataclasses import replace

from reports import REPORT

from edgekd.report import markdown
from edgekd.report.model import EfficiencyRow

WHOLE = """\
## FAIL: tiny on pixel8: 1 of 3 checks failed (exit code 1)

| file | limit | observed | evidence | verdict |
| --- | --- | --- | --- | --- |
| onnx\\_int8 | latency\\_p95 &lt; 100 ms | 131 ms (131 ms to 140 ms) | predicted | ❌ fail |
| onnx\\_int8 | energy &lt;= 100 mJ | ? | predicted | ❔ inconclusive |
| onnx\\_int8 | size &lt;= 2.00 MB | 131 ms (131 ms to 140 ms) | predicted | ✅ pass |

- **fail** onnx\\_int8: p95 latency 131 ms, 31.0 ms over 100 ms (devices/pixel8.toml:43)
  - try half the &lt;script&gt;width: 82.0 ms (74.0 ms..92.0 ms), predicted, meets the limit
  - in general: use a narrower student
- **inconclusive** onnx\\_int8: energy &lt;= 100 mJ (devices/pixel8.toml:43)
  - no power figure

top-1 accuracy on 2,000 test images of the bars \\| &lt;script&gt;alert(1)&lt;/script&gt;, 95 % interval

| model | top-1 accuracy | interval |
| --- | --- | --- |
| teacher | 94.00% | 93.00% to 95.00% |
| onnx\\_int8 | 92.00% | 91.00% to 93.00% |

<details><summary>notes</summary>

- a note with a \\| and &lt;b&gt;

</details>

edgekd 0.1.0, pipeline tiny, device pixel8, 2 s
"""


def test_the_whole_text() -> None:
    assert markdown.text(REPORT) == WHOLE


def test_what_quality_costs_is_a_table_of_the_shipped_files() -> None:
    rows = [
        EfficiencyRow(name, "quality_per_millisecond", 7.65432, 7.5, 7.75, "predicted")
        for name in ("onnx_float", "onnx_int8")
    ]
    text = markdown.text(replace(REPORT, efficiency=tuple(rows)))
    assert "| onnx\\_int8 | quality\\_per\\_millisecond | 7.654 | 7.5 to 7.75 | predicted |" in text
    assert "onnx\\_float" not in text

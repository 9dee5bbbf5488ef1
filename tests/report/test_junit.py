"""junit.xml: a case for each check; what can't be decided is an error and not a failure."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

from reports import REPORT

from edgekd.report import junit


def test_each_check_is_a_case() -> None:
    suite = ET.fromstring(junit.text(REPORT))[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    cases = suite.findall("testcase")
    assert [(case.get("classname"), case.get("name")) for case in cases] == [
        ("onnx_int8", "size <= 2.00 MB"),
        ("onnx_int8", "latency_p95 < 100 ms"),
        ("onnx_int8", "energy <= 100 mJ"),
    ]
    assert [[part.tag for part in case] for case in cases] == [[], ["failure"], ["error"]]
    assert cases[1][0].get("message") == "p95 latency 131 ms, 31.0 ms over 100 ms"
    assert "devices/pixel8.toml:43" in str(cases[1][0].text)
    assert "try half the <script>width: 82.0 ms (74.0 ms..92.0 ms), predicted, meets" in str(cases[1][0].text)


def test_what_xml_does_not_allow_is_replaced() -> None:
    found = junit.text(replace(REPORT, notes=("bell \x07, half a pair \ud83d, <b>",)))
    assert (
        ET.fromstring(found.encode())[0]
        .findtext("system-out", "")
        .endswith("bell \N{REPLACEMENT CHARACTER}, half a pair \N{REPLACEMENT CHARACTER}, <b>")
    )

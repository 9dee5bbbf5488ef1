"""The checks as JUnit XML, a test case each, for what shows test results in CI."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from edgekd.report.advice import sentences
from edgekd.report.model import CheckRow, Report
from edgekd.report.terminal import headline

NAME = "junit.xml"
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML 1.0, even as references


def text(report: Report) -> str:
    """A suite with a case for each check. What can't be decided is an error, not a failure: nothing was shown."""
    counts = {kind: sum(check.verdict == kind for check in report.checks) for kind in ("fail", "inconclusive")}
    suite = ET.Element(
        "testsuite",
        name=_clean(f"edgekd.{report.pipeline}.{report.device}"),
        tests=str(len(report.checks)),
        failures=str(counts["fail"]),
        errors=str(counts["inconclusive"]),
        time=f"{report.seconds:.3f}",
    )
    for check in report.checks:
        suite.append(_case(check))
    ET.SubElement(suite, "system-out").text = _clean("\n".join([headline(report), *report.notes]))
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _case(check: CheckRow) -> ET.Element:
    case = ET.Element("testcase", classname=_clean(check.artifact), name=_clean(check.limit), time="0")
    if check.verdict != "pass":
        kind = "failure" if check.verdict == "fail" else "error"
        found = ET.SubElement(case, kind, message=_clean(check.excess or check.advice), type=check.verdict)
        observed = f"observed {check.point} ({check.lower}..{check.upper}), {check.provenance}; {check.origin}"
        found.text = _clean("\n".join([observed, *sentences(check)]))
    return case


def _clean(value: str) -> str:
    return FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", value)

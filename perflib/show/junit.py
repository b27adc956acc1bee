"""Test results as JUnit XML, which CI servers read."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Case:
    """A test case: it failed if there is a reason; `output` is shown either way."""

    name: str
    reasons: Sequence[str] = ()
    output: str = ""


def junit(name: str, suites: Mapping[str, Sequence[Case]]) -> str:
    """Suites of test cases as one XML document."""
    root = ElementTree.Element("testsuites", _counted(name, [case for cases in suites.values() for case in cases]))
    for suite, cases in suites.items():
        element = ElementTree.SubElement(root, "testsuite", _counted(suite, cases))
        for case in cases:
            shown = ElementTree.SubElement(element, "testcase", {"classname": _xml(suite), "name": _xml(case.name)})
            if case.reasons:
                reasons = {"message": _xml(case.reasons[0])}
                ElementTree.SubElement(shown, "failure", reasons).text = _xml("\n".join(case.reasons))
            if case.output:
                ElementTree.SubElement(shown, "system-out").text = _xml(case.output)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _counted(name: str, cases: Sequence[Case]) -> dict[str, str]:
    return {"name": _xml(name), "tests": str(len(cases)), "failures": str(sum(bool(one.reasons) for one in cases))}


def _xml(text: str) -> str:
    """Text without the control characters that no XML may hold, escaped or not."""
    return _NOT_IN_XML.sub("\ufffd", text)

"""Test results as JUnit XML, which CI servers read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree

_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Case:
    """A test case: it failed if there is a reason; `output` is told either way."""

    name: str
    reasons: tuple[str, ...] = ()
    output: str = ""


@dataclass(frozen=True)
class Suite:
    """Test cases that belong together."""

    name: str
    cases: tuple[Case, ...]

    @property
    def failures(self) -> int:
        return sum(bool(case.reasons) for case in self.cases)


def junit(name: str, suites: tuple[Suite, ...]) -> str:
    """All suites as one XML document."""
    root = _element(None, "testsuites", name=name, **_counts(*suites))
    for suite in suites:
        element = _element(root, "testsuite", name=suite.name, **_counts(suite))
        for case in suite.cases:
            _write_case(element, suite.name, case)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _counts(*suites: Suite) -> dict[str, str]:
    tests, failures = sum(len(suite.cases) for suite in suites), sum(suite.failures for suite in suites)
    return {"tests": str(tests), "failures": str(failures)}


def _write_case(suite: ElementTree.Element, classname: str, case: Case) -> None:
    element = _element(suite, "testcase", classname=classname, name=case.name)
    if case.reasons:
        _element(element, "failure", message=case.reasons[0]).text = _xml("\n".join(case.reasons))
    if case.output:
        _element(element, "system-out").text = _xml(case.output)


def _element(parent: ElementTree.Element | None, tag: str, **attributes: str) -> ElementTree.Element:
    safe = {name: _xml(value) for name, value in attributes.items()}
    return ElementTree.Element(tag, safe) if parent is None else ElementTree.SubElement(parent, tag, safe)


def _xml(text: str) -> str:
    """Text without the control characters that no XML may hold, escaped or not."""
    return _NOT_IN_XML.sub("\ufffd", text)

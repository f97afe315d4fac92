"""The results of a policy's tests as JUnit XML, which CI systems read."""

from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree as ET

from firezone_filter.cli.ask.failures import failure_lines, failure_title
from firezone_filter.cli.terminal import printable
from firezone_filter.policy.analysis.tests import TestResult

_NAME: Final = "firezone-filter"


def junit_xml(policy: str, results: Sequence[TestResult]) -> str:
    """Return *results* as a document of one suite, which has a case for each test.

    What XML cannot have (most control characters, lone surrogates) is escaped as for terminals.

    Args:
        policy: the name of the policy file, for people.
        results: of each of its tests, in order.
    """
    failed = sum(not result.passed for result in results)
    counts = {"tests": str(len(results)), "failures": str(failed), "errors": "0", "skipped": "0"}
    suites = ET.Element("testsuites", {"name": _NAME, **counts})
    suite = ET.SubElement(suites, "testsuite", {"name": printable(policy), **counts})
    for result in results:
        case = ET.SubElement(
            suite, "testcase", classname=printable(policy), name=printable(result.name)
        )
        if not result.passed:
            failure = ET.SubElement(case, "failure", message=failure_title(result))
            failure.text = "\n".join(failure_lines(result))
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(suites, "unicode")}\n'

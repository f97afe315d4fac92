"""The dashboard and the alerts ask for metrics and labels that there are."""

import asyncio
import json
import re
from typing import Any, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from firezone_filter import Gateway, GatewayOptions, Reason, TunnelAddresses, prometheus_text
from firezone_filter.host.metrics import losses_text
from firezone_filter.host.names import Names
from firezone_filter.host.tun import Losses
from tests.snippets import ROOT
from tests.unit.host import test_names

FOLDER: Final = ROOT / "docs" / "how-to"
DASHBOARD: Final[dict[str, Any]] = json.loads((FOLDER / "dashboard.json").read_text())
PANELS: Final = {
    f"{panel['title']}, {target['refId']}": str(target["expr"])
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", ())
}
ALERTS: Final[dict[str, str]] = dict(
    re.findall(r"alert: (\w+)\n +expr: (?:>-\n +)?(.+)\n", (FOLDER / "metrics.md").read_text())
)
ASKED: Final = PANELS | ALERTS
ADDED: Final = {"instance"}
"""What Prometheus adds to each sample."""


def resolver_text() -> str:
    async def ask() -> str:
        names = Names(test_names.gateway(), test_names.POLICY, test_names.OPTIONS, list)
        await names.start()
        text = names.text()
        await names.close()
        return text

    return asyncio.run(ask())


@pytest.fixture(scope="module")
def labels() -> dict[str, set[str]]:
    """Give the metrics of a gateway's page, each with its labels."""
    options = GatewayOptions(flow_records=True)
    counters = Gateway(TunnelAddresses("100.64.0.1"), options=options).counters()
    page = prometheus_text(counters) + losses_text({"ff-in": Losses()}) + resolver_text()
    return {
        sample.name: set(sample.labels)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def metrics_in(expression: str) -> list[str]:
    return re.findall(r"\bfirezone_filter_\w+", expression)


def labels_in(expression: str) -> set[str]:
    grouped = re.findall(r"by \(([^)]*)\)", expression)
    matched = re.findall(r"(\w+)(?:=~|!~|!=|=)\"", expression)
    return {name.strip() for group in grouped for name in group.split(",")} | set(matched)


@pytest.mark.parametrize("name", ASKED)
def test_what_is_asked_for_is_there(name: str, labels: dict[str, set[str]]) -> None:
    expression = ASKED[name]
    names = metrics_in(expression)
    assert names
    for metric in names:
        assert labels_in(expression) <= labels[metric] | ADDED


@pytest.mark.parametrize("name", ASKED)
def test_reasons_that_are_asked_for_are_there(name: str) -> None:
    chosen = re.findall(r"reason=~\"([^\"]+)\"", ASKED[name])
    assert {reason for one in chosen for reason in one.split("|")} <= set(Reason)


def test_the_dashboard_shows_every_metric(labels: dict[str, set[str]]) -> None:
    shown = {metric for expression in PANELS.values() for metric in metrics_in(expression)}
    assert shown == set(labels)


def test_there_are_as_many_alerts_as_the_page_says() -> None:
    assert len(ALERTS) == 3


def test_panels_have_ids_of_their_own_and_lie_side_by_side() -> None:
    panels = DASHBOARD["panels"]
    taken = [
        (x, y)
        for panel in panels
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(set(taken)) == len(taken)
    assert all(x < 24 for x, _ in taken)

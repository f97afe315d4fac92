"""Everything that is public is on the site."""

import ast
import html
import inspect
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, is_typeddict

import click
import pytest
from attrs import fields_dict

from firezone_filter import (
    AccessExhausted,
    AuthorizationExpired,
    CidrResource,
    Counters,
    DecisionLog,
    Direction,
    Drop,
    FlowEnded,
    FlowRefused,
    FlowStarted,
    Gateway,
    GatewayOptions,
    Reason,
    TunnelAddresses,
    prometheus_text,
)
from firezone_filter.cli.command import cli
from firezone_filter.policy.analysis.findings import CODES, LintCode
from firezone_filter.policy.schema import policy_schema
from firezone_filter.testing import icmp_echo, tcp
from tests.public import CLASSES, attributes, public_names
from tests.site import build
from tests.snippets import ROOT

pytest.importorskip("furo", reason="the extra `docs` is not installed")

# The same as in `capture`, where it is documented.
TWICE = "firezone_filter.replay.MissingExtraError"

EVENTS = (AuthorizationExpired, AccessExhausted, FlowStarted, FlowEnded, FlowRefused)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build(folder)
    return folder / "site"


@pytest.fixture(scope="module")
def objects(site: Path) -> set[str]:
    """Give the names of all that the site documents in sections of their own."""
    from sphinx.util.inventory import InventoryFile  # noqa: PLC0415 - an extra

    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    return {name for kind in inventory.data.values() for name in kind}


def text(site: Path, page: str, folder: str = "reference") -> str:
    """Return what a page says, in one line."""
    page = (site / folder / f"{page}.html").read_text("utf-8")
    (article,) = re.findall(r'<article role="main".*?>(.*)</article>', page, re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", article)).split())


def code(site: Path, page: str) -> set[str]:
    """Return what a page has as code, but blocks."""
    page = (site / "reference" / f"{page}.html").read_text("utf-8")
    found = re.findall(r'<code class="docutils[^>]*>(.*?)</code>', page, re.DOTALL)
    return {html.unescape(re.sub(r"<[^>]*>", "", each)) for each in found}


def plain(markdown: str) -> str:
    return markdown.replace("`", "")


# --- Names --------------------------------------------------------------------------------


def test_every_public_name_is_there(objects: set[str]) -> None:
    assert {name for name, _ in public_names()} - objects == {TWICE}


@pytest.mark.parametrize("name", [name for name in CLASSES if name != TWICE])
def test_every_attribute_of_a_class_is_there(name: str, objects: set[str]) -> None:
    cls = CLASSES[name]
    names = inspect.get_annotations(cls) if is_typeddict(cls) else attributes(cls)
    assert {f"{name}.{each}" for each in names} <= objects


def test_a_signature_has_the_defaults_of_its_class(site: Path) -> None:
    assert "class Interface(link_type: int, snap_length: int = 0" in text(site, "api/capture")
    for page in (site / "reference" / "api").glob("*.html"):
        assert "attr_dict" not in page.read_text("utf-8")


def test_the_site_has_the_version_of_these_sources(site: Path) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert f"<title>firezone-filter {version}</title>" in (site / "index.html").read_text("utf-8")


@pytest.mark.parametrize("file", ["office/office.pcap", "policy_tests/proposed.json"])
def test_files_of_examples_can_be_had_from_the_site(file: str, site: Path) -> None:
    example = ROOT / "examples" / file
    copies = site.glob(f"_downloads/*/{example.name}")
    assert example.read_bytes() in [copy.read_bytes() for copy in copies]


# --- Commands -----------------------------------------------------------------------------


def commands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    for name, inner in command.commands.items() if isinstance(command, click.Group) else ():
        yield from commands(f"{path} {name}", inner)


COMMANDS = dict(commands("firezone-filter", cli))


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_is_there_with_its_options_and_arguments(
    path: str, objects: set[str], site: Path
) -> None:
    said = text(site, "commands")
    assert f"{path}¶" in said
    for parameter in COMMANDS[path].params:
        if isinstance(parameter, click.Option):
            program = path.replace(" ", "-")
            assert {f"{program}.{name}" for name in parameter.opts} <= objects
            assert " ".join(str(parameter.help).split()).replace("`", "") in said
        else:
            assert parameter.human_readable_name in said


# --- Words --------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_there_with_its_description(reason: Reason, site: Path) -> None:
    assert f"{reason.name} {reason.value} {reason.description}" in text(site, "reasons")


def test_every_counter_is_there(site: Path) -> None:
    gateway = Gateway(TunnelAddresses("100.64.0.1"), options=GatewayOptions(flow_records=True))
    metrics = re.findall(r"# TYPE (\w+)", prometheus_text(gateway.counters()))
    assert {*fields_dict(Counters), *metrics} <= code(site, "counters")


@pytest.mark.parametrize("one", CODES.values(), ids=CODES)
def test_every_lint_code_is_there_with_its_words(one: LintCode, site: Path) -> None:
    said = text(site, "lint")
    assert f"{one.code} {one.name} {one.severity} {plain(one.summary)}" in said
    assert f"{one.severity} · {plain(one.summary)}. Threshold: {plain(one.threshold)}." in said


class Lines:
    """Takes the place of a logger."""

    def __init__(self) -> None:
        self.messages: set[str] = set()
        self.fields: set[str] = {"time", "severity", "message"}

    def log(self, _: int, message: str, /, *, extra: Mapping[str, object]) -> None:
        self.messages.add(message)
        self.fields |= extra.keys() - {"now"}


@pytest.fixture
def lines() -> Lines:
    """Give all lines that there are."""
    lines = Lines()
    log = DecisionLog(lines)
    addresses = TunnelAddresses("100.64.0.2", "fd00:2021:1111::2")
    log.client_connected("alice", addresses, 0.0)
    log.authorized(
        "alice", CidrResource("db", "10.0.0.0/24", name="Database"), 0.0, expires_at=9.0
    )
    for direction in Direction:
        for _ in range(3):
            refused = tcp("100.64.0.2:40000 > 10.0.0.5:22")
            log.decided(direction, refused, Drop(Reason.TCP_PORT, "alice"), 0.0)
        ping = icmp_echo("100.64.0.2 > 10.0.0.5")
        log.decided(direction, ping, Drop(Reason.ICMP, "alice"), 0.0)
    for event in EVENTS:
        values: dict[str, Any] = dict.fromkeys(fields_dict(event), 1.0)
        log.event(event(**values | {"reason": Reason.ICMP} if "reason" in values else values), 0.0)
    log.revoked("alice", "db", 0.0)
    log.client_disconnected("alice", 0.0)
    log.flush(0.0)
    return lines


def test_every_field_and_message_of_the_log_is_there(lines: Lines, site: Path) -> None:
    assert lines.fields <= code(site, "log-fields")
    said = text(site, "log-fields")
    messages = {re.sub(r"\d+ packets?", "… packets", message) for message in lines.messages}
    assert [message for message in sorted(messages) if message not in said] == []


def test_every_message_of_the_gateway_is_there(site: Path) -> None:
    said = text(site, "troubleshooting", "how-to")
    # What stands before the first value in it.
    begins = {message.partition(" %")[0].partition(": %")[0] for message in gateway_messages()}
    assert len(begins) > 10
    assert [begin for begin in sorted(begins) if begin not in said] == []


def gateway_messages() -> set[str]:
    """Return all texts that the modules of the host log."""
    calls = (
        node
        for path in (ROOT / "firezone_filter" / "host").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func)
        in {"LOG.info", "LOG.warning", "LOG.error", "report", "self._warnings.say"}
    )
    constants = (
        ast.literal_eval(call.args[0]) for call in calls if isinstance(call.args[0], ast.Constant)
    )
    return {message for message in constants if not message.startswith("%")}


@pytest.mark.parametrize(
    ("title", "part"),
    [(part["title"], part) for part in policy_schema()["$defs"].values() if "properties" in part]
    + [("The file", policy_schema())],
)
def test_every_field_of_a_policy_is_there(title: str, part: dict[str, Any], site: Path) -> None:
    _, found, section = text(site, "policy").partition(f" {title}¶ field type meaning ")
    assert found
    section = section.partition("¶")[0]
    for name, field in part["properties"].items():
        assert re.search(
            rf"(?:^| ){re.escape(name)} .*{re.escape(plain(field['description']))}", section
        )

"""Public names change only with an entry in the changelog; `tests/public_api.py` says how."""

import pytest

from tests.public_api import CHANGELOG, LISTING, due, listing, newest, unmentioned

BEFORE = [
    "firezone-filter  command",
    "firezone-filter replay  command",
    "firezone-filter replay --json  --json is_flag",
    "firezone_filter  module",
    "firezone_filter.Gateway  class (addresses: TunnelAddresses)",
    "firezone_filter.Gateway.connect  (self, client_id: str) -> None",
    "firezone_filter.testing  module",
    "firezone_filter.testing.tcp  (flow: str) -> bytes",
]


def section(*entries: str) -> str:
    return "\n### Changed\n\n" + "".join(f"- {entry}\n" for entry in entries)


def changed(old: str, new: str) -> list[str]:
    return [line.replace(old, new) for line in BEFORE if line.replace(old, new)]


def test_what_is_public_is_what_the_latest_release_had_or_the_changelog_mentions() -> None:
    wanted = due(LISTING.read_text(), listing(), CHANGELOG.read_text())
    assert LISTING.read_text() == wanted, "renew it: python -m tests.public_api"


def test_what_has_not_changed_needs_no_entry() -> None:
    assert unmentioned(BEFORE, BEFORE, section()) == []


@pytest.mark.parametrize(
    ("now", "name", "entry"),
    [
        pytest.param(
            changed("client_id: str", "client_id: str, at: float"),
            "firezone_filter.Gateway.connect",
            "`Gateway.connect(client_id, at)` takes a\n  time.",
            id="another signature",
        ),
        pytest.param(
            changed("firezone_filter.testing.tcp  (flow: str) -> bytes", ""),
            "firezone_filter.testing.tcp",
            "There is no `tcp` any more.",
            id="a name less",
        ),
        pytest.param(
            [*BEFORE, "firezone_filter.Step  class", "firezone_filter.Step.name  str"],
            "firezone_filter.Step",
            "`firezone_filter.Step`",
            id="a class more",
        ),
        pytest.param(
            [*BEFORE, "firezone_filter.aio  module", "firezone_filter.aio.run  () -> None"],
            "firezone_filter.aio",
            "`firezone_filter.aio`",
            id="a module more",
        ),
        pytest.param(
            changed("is_flag", ""),
            "firezone-filter replay --json",
            "`firezone-filter replay --json FILE`",
            id="an option takes a value",
        ),
        pytest.param(
            [*BEFORE, "firezone-filter logs  command", "firezone-filter logs -i  -i is_flag"],
            "firezone-filter logs",
            "`logs`",
            id="a command more",
        ),
    ],
)
def test_what_has_changed_needs_an_entry(now: list[str], name: str, entry: str) -> None:
    assert unmentioned(BEFORE, now, section("`Gateway`", "connect `replay`", "`--jso`")) == [name]
    assert unmentioned(BEFORE, now, section("`Gateway`", entry)) == []


def test_an_entry_for_another_class_does_not_count() -> None:
    now = changed("client_id: str", "client_id: int")
    assert unmentioned(BEFORE, now, section("`Gateway`", "`Host.connect`")) != []


def test_between_releases_the_listing_stays_that_of_the_last_one() -> None:
    now = changed("client_id: str", "client_id: int")
    changelog = (
        "# Changelog\n\n## [Unreleased]\n\n- `Gateway.connect`\n\n## [1.0.0] - 2030-01-01\n"
    )
    stored = "\n".join(["firezone-filter 1.0.0", *BEFORE, ""])
    assert due(stored, now, changelog) == stored
    released = changelog.replace("[Unreleased]", "[1.1.0] - 2030-02-01")
    assert due(stored, now, released) == "\n".join(["firezone-filter 1.1.0", *now, ""])


def test_without_an_entry_it_is_not_renewed() -> None:
    stored = "\n".join(["firezone-filter 1.0.0", *BEFORE, ""])
    with pytest.raises(ValueError, match=r"below 2\.0\.0: firezone-filter$"):
        due(stored, BEFORE[1:], "\n## [2.0.0] - 2030-02-01\n- `firezone_filter`\n")


def test_the_newest_section_is_the_first() -> None:
    changelog = "# Changelog\n\n## [2.0.0] - 2030-02-01\none\n## [1.0.0] - 2030-01-01\ntwo\n"
    assert newest(changelog) == ("2.0.0", "\none\n")

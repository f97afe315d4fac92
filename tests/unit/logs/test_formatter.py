"""Records of `logging` as JSON lines."""

import io
import json
import logging
import logging.config
import logging.handlers
import queue
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter import JsonFormatter

Read = Callable[[], list[dict[str, Any]]]
"""Returns the lines written so far."""

ANY_TEXT = st.text(st.characters(codec=None))
"""Lone surrogates included."""


def record(message: object = "Hello", /, *args: object, **attributes: object) -> logging.LogRecord:
    made = logging.LogRecord("gateway", logging.INFO, "gateway.py", 7, message, args, None)
    made.created = 1_790_000_000.25
    made.__dict__.update(attributes)
    return made


def read(made: logging.LogRecord) -> dict[str, Any]:
    line = JsonFormatter().format(made)
    fields: dict[str, Any] = json.loads(line)
    return fields


class Broken:
    """An object without a `str`."""

    def __repr__(self) -> str:
        raise RuntimeError


class Shown:
    """An object with a `str`, but not JSON."""

    def __str__(self) -> str:
        return "shown"


def fail() -> None:
    raise LookupError("no such client")


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    made = logging.getLogger("test_logs_formatter")
    made.propagate = False
    made.setLevel(1)
    yield made
    made.handlers.clear()


@pytest.fixture
def lines(logger: logging.Logger) -> Read:
    """Return a function that reads the lines written to the logger."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_begins_with_time_severity_and_message() -> None:
    assert JsonFormatter().format(record()) == (
        '{"time":"2026-09-21T14:13:20.250000000Z","severity":"INFO","message":"Hello"}'
    )


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        (0, "TRACE"),
        (5, "TRACE"),
        (9, "TRACE"),
        (10, "DEBUG"),
        (19, "DEBUG"),
        (20, "INFO"),
        (29, "INFO"),
        (30, "WARN"),
        (39, "WARN"),
        (40, "ERROR"),
        (50, "ERROR"),
        (1000, "ERROR"),
        ("loud", "ERROR"),
    ],
)
def test_levels_become_severities(level: object, severity: str) -> None:
    assert read(record(levelno=level))["severity"] == severity


def test_arguments_are_formatted_into_the_message() -> None:
    assert read(record("%d of %s", 2, "three"))["message"] == "2 of three"


def test_extra_fields_follow_in_their_order_and_no_others(
    logger: logging.Logger, lines: Read
) -> None:
    logger.info("Hello", extra={"cid": "alice", "bytes": 7, "also": None})
    (line,) = lines()
    assert list(line.items())[2:] == [
        ("message", "Hello"),
        ("cid", "alice"),
        ("bytes", 7),
        ("also", None),
    ]


def test_attributes_of_other_formatters_and_later_pythons_are_no_fields() -> None:
    made = record(taskName="Task-1")
    logging.Formatter("%(asctime)s %(message)s").format(made)
    assert list(read(made)) == ["time", "severity", "message"]


def test_an_adapter_adds_its_fields(logger: logging.Logger, lines: Read) -> None:
    logging.LoggerAdapter(logger, {"cid": "alice"}).info("Hello")
    assert lines()[0]["cid"] == "alice"


def test_a_field_never_replaces_another() -> None:
    line = read(record(time=1, severity=2, message_=3, **{"": 4, "_": 5}))
    assert (line["message"], line["time_"], line["severity_"]) == ("Hello", 1, 2)
    assert list(read(record(time=1, time_=2)).values())[3:] == [1, 2]


@pytest.mark.parametrize(
    ("clock", "time"),
    [
        ({"now": 1_790_000_001}, "2026-09-21T14:13:21.000000000Z"),
        ({"now": 1_790_000_001.123}, "2026-09-21T14:13:21.123000000Z"),
        ({"time_ns": 1_790_000_001_123_456_789}, "2026-09-21T14:13:21.123456789Z"),
        ({"now": -1}, "1969-12-31T23:59:59.000000000Z"),
        ({"created": "noon"}, "1970-01-01T00:00:00.000000000Z"),
    ],
)
def test_the_time_is_that_of_the_host_and_no_field(clock: dict[str, object], time: str) -> None:
    line = read(record(**clock))
    assert (line["time"], list(line)) == (time, ["time", "severity", "message"])


def test_nanoseconds_go_before_seconds() -> None:
    line = read(record(time_ns=1_000_000_001, now=7))
    assert (line["time"], line["now"]) == ("1970-01-01T00:00:01.000000001Z", 7)


@pytest.mark.parametrize("name", ["now", "time_ns"])
@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("noon", "noon"),
        (True, True),
        (None, None),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (1e300, 1e300),
        (-(10**40), -(10**40)),
    ],
)
def test_a_value_that_is_no_time_is_a_field(name: str, value: object, field: object) -> None:
    line = read(record(**{name: value}))
    assert (line["time"], line[name]) == ("2026-09-21T14:13:20.250000000Z", field)


def test_an_exception_is_a_field_with_its_traceback(logger: logging.Logger, lines: Read) -> None:
    try:
        fail()
    except LookupError:
        logger.exception("Failed")
    (line,) = lines()
    assert line["error"].startswith("Traceback (most recent call last):\n")
    assert line["error"].endswith("LookupError: no such client")


def test_no_exception_is_no_field(logger: logging.Logger, lines: Read) -> None:
    logger.exception("Failed")  # noqa: LOG004 - this is the slip
    assert "error" not in lines()[0]


def test_an_exception_that_is_already_text_is_a_field() -> None:
    assert read(record(exc_text="Traceback"))["error"] == "Traceback"


def test_an_exception_survives_a_queue(logger: logging.Logger) -> None:
    passed: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    logger.addHandler(logging.handlers.QueueHandler(passed))
    try:
        fail()
    except LookupError:
        logger.exception("Failed", extra={"cid": "alice"})
    line = read(passed.get())
    assert (line["cid"], "no such client" in line["message"]) == ("alice", True)


def test_a_field_named_error_stays_beside_the_exception() -> None:
    line = read(record(exc_text="Traceback", error="mine"))
    assert (line["error"], line["error_"]) == ("Traceback", "mine")


def test_a_stack_is_a_field(logger: logging.Logger, lines: Read) -> None:
    logger.info("Here", stack_info=True)
    assert lines()[0]["stack"].startswith("Stack (most recent call last):\n")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Shown(), "shown"),
        ({1}, "{1}"),
        (b"x", "b'x'"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        ([float("nan")], "[nan]"),
        (Broken(), "<Broken>"),
        ([Broken()], "<list>"),
        pytest.param(10**5000, "<int>", id="thousands-of-digits"),
        ("\ud800", r"\ud800"),
        (["\udfff"], r"['\udfff']"),
        ({"\ud800": 1}, r"{'\ud800': 1}"),
    ],
)
def test_a_value_that_json_cannot_express_is_text(value: object, text: str) -> None:
    assert read(record(field=value))["field"] == text


@pytest.mark.parametrize(
    "value", [{"a": [1, None]}, [True], 1.5, "", "é", "\U0001f600", ["\U0001f600"], r"\ud800"]
)
def test_a_value_that_json_can_express_is_kept(value: object) -> None:
    assert read(record(field=value))["field"] == value


def test_a_part_that_json_cannot_express_is_text_by_itself() -> None:
    assert read(record(field=[1, Shown()]))["field"] == [1, "shown"]


def test_a_field_that_contains_itself_is_text() -> None:
    held: list[object] = []
    held.append(held)
    assert read(record(field=held))["field"] == "[[...]]"


def test_a_field_that_is_too_deep_becomes_its_type() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert read(record(field=deep))["field"] == "<list>"
    while deep:  # taken apart here: freeing it at once would overflow the stack
        deep = deep.pop()  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("message", "args", "text"),
    [
        ("%d", ("x",), "%d ('x',)"),
        ("%s %s", ("x",), "%s %s ('x',)"),
        ("%s", (Broken(),), "%s <tuple>"),
        (Broken(), (), "<Broken> ()"),
        (7, (), "7"),
    ],
)
def test_a_message_that_cannot_be_formatted_is_written_in_parts(
    message: object, args: tuple[object, ...], text: str
) -> None:
    made = record(message)
    made.args = args
    assert read(made)["message"] == text


def test_a_broken_record_still_has_a_line() -> None:
    line = read(record(exc_info=(1,), cid="alice"))
    assert line == {
        "time": "2026-09-21T14:13:20.250000000Z",
        "severity": "INFO",
        "message": "A log record cannot be written",
    }


@pytest.mark.parametrize("text", ["a\nb", "a\r\x0b\x0c\x1c\x85\u2028\u2029b", "\x00\x1b[2J\x7f"])
def test_a_line_is_printable_ascii(text: str) -> None:
    line = JsonFormatter().format(record(text, **{text: text}))
    assert (line.isascii(), line.isprintable()) == (True, True)
    assert json.loads(line)[text] == text


@given(
    ANY_TEXT,
    st.dictionaries(
        ANY_TEXT,
        st.recursive(
            st.one_of(
                st.none(),
                st.booleans(),
                st.integers(),
                st.floats(),
                ANY_TEXT,
                st.binary(),
                st.builds(Broken),
            ),
            lambda inner: st.one_of(st.lists(inner), st.dictionaries(ANY_TEXT, inner)),
            max_leaves=5,
        ),
    ),
)
def test_every_record_is_one_line_for_any_reader(message: str, fields: dict[str, object]) -> None:
    made = record(message)
    line = JsonFormatter().format(record(message, **(fields | vars(made))))
    assert (line.isascii(), line.isprintable()) == (True, True)
    # jq would stop at a lone surrogate.
    json.dumps(json.loads(line), ensure_ascii=False).encode()


@pytest.mark.parametrize("how", ["()", "class"])
def test_a_logging_configuration_can_name_it(
    how: str, capsys: pytest.CaptureFixture[str], logger: logging.Logger
) -> None:
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {how: "firezone_filter.JsonFormatter"}},
            "handlers": {
                "out": {
                    "class": "logging.StreamHandler",
                    "formatter": "json",
                    "stream": "ext://sys.stdout",
                }
            },
            "loggers": {logger.name: {"handlers": ["out"], "level": "INFO"}},
        }
    )
    logger.info("Hello")
    assert json.loads(capsys.readouterr().out)["message"] == "Hello"

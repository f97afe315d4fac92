"""Records of `logging` as lines of JSON."""

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
"""Returns the lines that were written since the last call."""

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
    """What has no text."""

    def __repr__(self) -> str:
        raise RuntimeError


class Shown:
    """What JSON cannot say, and text can."""

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
    """Return what reads the lines that the logger has written."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_time_severity_and_message_in_this_order() -> None:
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


def test_arguments_stand_in_the_message() -> None:
    assert read(record("%d of %s", 2, "three"))["message"] == "2 of three"


def test_fields_follow_in_their_order(logger: logging.Logger, lines: Read) -> None:
    logger.info("Hello", extra={"cid": "alice", "bytes": 7, "also": None})
    (line,) = lines()
    assert list(line.items())[2:] == [
        ("message", "Hello"),
        ("cid", "alice"),
        ("bytes", 7),
        ("also", None),
    ]


def test_what_logging_itself_notes_is_no_field(logger: logging.Logger, lines: Read) -> None:
    logger.info("Hello")
    (line,) = lines()
    assert list(line) == ["time", "severity", "message"]


def test_what_other_formatters_note_is_no_field() -> None:
    made = record()
    logging.Formatter("%(asctime)s %(message)s").format(made)
    assert list(read(made)) == ["time", "severity", "message"]


def test_what_later_pythons_note_is_no_field() -> None:
    assert "taskName" not in read(record(taskName="Task-1"))


def test_an_adapter_brings_its_fields_along(logger: logging.Logger, lines: Read) -> None:
    logging.LoggerAdapter(logger, {"cid": "alice"}).info("Hello")
    assert lines()[0]["cid"] == "alice"


def test_a_field_never_takes_the_place_of_another() -> None:
    line = read(record(time=1, severity=2, message_=3, **{"": 4, "_": 5}))
    assert (line["message"], line["time_"], line["severity_"]) == ("Hello", 1, 2)


def test_two_fields_of_one_name_are_both_there() -> None:
    assert list(read(record(time=1, time_=2)).values())[3:] == [1, 2]


@pytest.mark.parametrize(
    ("clock", "time"),
    [
        ({"now": 1_790_000_001}, "2026-09-21T14:13:21.000000000Z"),
        ({"now": 1_790_000_001.123}, "2026-09-21T14:13:21.123000000Z"),
        ({"time_ns": 1_790_000_001_123_456_789}, "2026-09-21T14:13:21.123456789Z"),
        ({"time_ns": 1_000_000_001, "now": 7}, "1970-01-01T00:00:01.000000001Z"),
        ({"now": -1}, "1969-12-31T23:59:59.000000000Z"),
    ],
)
def test_the_time_is_that_of_the_host(clock: dict[str, object], time: str) -> None:
    assert read(record(**clock))["time"] == time


@pytest.mark.parametrize("name", ["now", "time_ns"])
def test_a_time_that_has_its_place_is_no_field(name: str) -> None:
    assert name not in read(record(**{name: 1}))


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
def test_what_is_no_time_is_a_field(name: str, value: object, field: object) -> None:
    line = read(record(**{name: value}))
    assert (line["time"], line[name]) == ("2026-09-21T14:13:20.250000000Z", field)


def test_a_record_without_any_time_has_the_first() -> None:
    assert read(record(created="noon"))["time"] == "1970-01-01T00:00:00.000000000Z"


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


def test_an_exception_that_is_text_already_is_a_field() -> None:
    assert read(record(exc_text="Traceback"))["error"] == "Traceback"


def test_an_exception_that_crosses_a_queue_is_told(logger: logging.Logger) -> None:
    passed: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    logger.addHandler(logging.handlers.QueueHandler(passed))
    try:
        fail()
    except LookupError:
        logger.exception("Failed", extra={"cid": "alice"})
    line = read(passed.get())
    assert (line["cid"], "no such client" in line["message"]) == ("alice", True)


def test_a_field_called_error_stays_beside_the_exception() -> None:
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
def test_what_json_cannot_say_is_text(value: object, text: str) -> None:
    assert read(record(field=value))["field"] == text


@pytest.mark.parametrize(
    "value", [{"a": [1, None]}, [True], 1.5, "", "é", "\U0001f600", ["\U0001f600"], r"\ud800"]
)
def test_what_json_can_say_stays(value: object) -> None:
    assert read(record(field=value))["field"] == value


def test_a_part_that_json_cannot_say_is_text_by_itself() -> None:
    assert read(record(field=[1, Shown()]))["field"] == [1, "shown"]


def test_a_field_that_holds_itself_is_text() -> None:
    held: list[object] = []
    held.append(held)
    assert read(record(field=held))["field"] == "[[...]]"


def test_a_field_that_is_too_deep_still_has_a_line() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert read(record(field=deep))["field"] == "<list>"
    while deep:  # else Python would fall over it as it lets go of it
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
def test_a_message_that_cannot_be_made_is_told_in_parts(
    message: object, args: tuple[object, ...], text: str
) -> None:
    made = record(message)
    made.args = args
    assert read(made)["message"] == text


def test_a_record_that_is_not_as_it_should_be_has_a_line_all_the_same() -> None:
    line = read(record(exc_info=(1,), cid="alice"))
    assert line == {
        "time": "2026-09-21T14:13:20.250000000Z",
        "severity": "INFO",
        "message": "A log record cannot be written",
    }


@pytest.mark.parametrize("text", ["a\nb", "a\r\x0b\x0c\x1c\x85\u2028\u2029b", "\x00\x1b[2J\x7f"])
def test_a_line_is_one_line_of_printable_ascii(text: str) -> None:
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
def test_every_record_is_one_line_that_any_reader_reads(
    message: str, fields: dict[str, object]
) -> None:
    made = record(message)
    line = JsonFormatter().format(record(message, **(fields | vars(made))))
    assert (line.isascii(), line.isprintable()) == (True, True)
    # A lone surrogate would stop jq.
    json.dumps(json.loads(line), ensure_ascii=False).encode()


@pytest.mark.parametrize("how", ["()", "class"])
def test_a_configuration_can_name_it(
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

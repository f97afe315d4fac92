"""Everything that a `DecisionLog` can write to."""

import json
import logging
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import pytest
from attrs import define, field

from firezone_filter import DecisionLog, Direction, Drop, JsonFormatter, Reason
from firezone_filter.testing import tcp

T = 1_790_000_000.0
PACKET = tcp("100.64.0.2:40000 > 10.0.0.5:22")


class Written(logging.Handler):
    """Keeps the written lines."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@define
class BoundLogger:
    """Logs as structlog's loggers do: any keyword is a field, beside those bound before."""

    bound: dict[str, object] = field(factory=dict)
    events: list[dict[str, Any]] = field(factory=list)

    def log(self, level: int, event: str | None = None, *args: object, **kw: object) -> None:
        self.events.append({**self.bound, "level": level, "event": event, "args": args, **kw})


class LazyLogger:
    """Finds its methods when they are asked for, as what `structlog.get_logger` returns does."""

    def __init__(self, logger: BoundLogger) -> None:
        self._logger = logger

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the same
        return getattr(self._logger, name)


class Prefixed(logging.LoggerAdapter[logging.Logger]):
    """Changes the message, and passes the fields of the call on untouched."""

    def process(
        self,
        msg: object,
        kwargs: MutableMapping[str, Any],
    ) -> tuple[Any, MutableMapping[str, Any]]:
        return f"[gw] {msg}", kwargs


class Strict:
    """Has the method of the protocol and nothing else."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, str, dict[str, object]]] = []

    def log(self, level: int, msg: str, /, *, extra: Mapping[str, object]) -> None:
        self.calls.append((level, msg, dict(extra)))


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def logger(written: Written) -> Iterator[logging.Logger]:
    made = logging.Logger("gateway", logging.INFO)  # noqa: LOG001 - shared with no other test
    made.addHandler(written)
    yield made
    made.removeHandler(written)


def refuse(log: DecisionLog, reason: Reason = Reason.TCP_PORT, times: int = 1) -> None:
    for _ in range(times):
        log.decided(Direction.OUTBOUND, PACKET, Drop(reason, "alice"), T)


FIELDS = {
    "cid": "alice",
    "reason": "tcp-port",
    "direction": "outbound",
    "protocol": "tcp",
    "src": "100.64.0.2",
    "src_port": 40000,
    "dst": "10.0.0.5",
    "dst_port": 22,
}
LINE = {
    "time": "2026-09-21T14:13:20.000000000Z",
    "severity": "INFO",
    "message": "Refused packet",
    **FIELDS,
}


# --- Adapters ----------------------------------------------------------------------------


def test_an_adapter_adds_its_fields_to_those_of_a_line(
    logger: logging.Logger, written: Written
) -> None:
    refuse(DecisionLog(logging.LoggerAdapter(logger, {"gateway": "gw-1"})))
    assert written.lines == [LINE | {"gateway": "gw-1"}]


def test_a_field_of_the_line_wins_over_one_of_the_adapter(
    logger: logging.Logger, written: Written
) -> None:
    refuse(DecisionLog(logging.LoggerAdapter(logger, {"cid": "-", "now": 0.0})))
    assert written.lines == [LINE]


@pytest.mark.parametrize("extra", [None, {}])
def test_an_adapter_without_fields_adds_none(
    logger: logging.Logger, written: Written, extra: dict[str, object] | None
) -> None:
    refuse(DecisionLog(logging.LoggerAdapter(logger, extra)))
    assert written.lines == [LINE]


def test_an_adapter_may_adapt_another_one(logger: logging.Logger, written: Written) -> None:
    inner = logging.LoggerAdapter(logger, {"inner": 1, "both": "inner"})
    refuse(DecisionLog(logging.LoggerAdapter(inner, {"outer": 2, "both": "outer"})))
    assert written.lines == [LINE | {"inner": 1, "outer": 2, "both": "outer"}]


def test_an_adapter_may_change_the_message(logger: logging.Logger, written: Written) -> None:
    log = DecisionLog(Prefixed(logger, {}))
    refuse(log, times=3)
    log.flush(T)
    assert [line["message"] for line in written.lines] == [
        "[gw] Refused packet",
        "[gw] Refused 2 packets",
    ]
    assert written.lines[0] == LINE | {"message": "[gw] Refused packet"}


def test_an_adapter_heeds_the_level_of_its_logger(
    logger: logging.Logger, written: Written
) -> None:
    refuse(DecisionLog(logging.LoggerAdapter(logger, {})), Reason.MULTICAST)
    assert written.lines == []


# --- Anything else that logs like a logger -----------------------------------------------


@pytest.mark.parametrize("lazy", [False, True])
def test_a_bound_logger_gets_level_text_and_fields(*, lazy: bool) -> None:
    bound = BoundLogger({"gateway": "gw-1"})
    refuse(DecisionLog(LazyLogger(bound) if lazy else bound))
    assert bound.events == [
        {
            "gateway": "gw-1",
            "level": logging.INFO,
            "event": "Refused packet",
            "args": (),
            "extra": {**FIELDS, "now": T},
        }
    ]


def test_a_logger_with_the_one_method_is_enough() -> None:
    strict = Strict()
    log = DecisionLog(strict)
    refuse(log, times=4)
    log.flush(T)
    assert [call[:2] for call in strict.calls] == [
        (logging.INFO, "Refused packet"),
        (logging.INFO, "Refused 3 packets"),
    ]


def test_it_gets_lines_of_every_level_and_decides_itself() -> None:
    strict = Strict()
    refuse(DecisionLog(strict), Reason.MULTICAST)
    assert [level for level, _, _ in strict.calls] == [logging.DEBUG]


def test_fields_without_a_value_are_left_out_for_it_too() -> None:
    strict = Strict()
    DecisionLog(strict).decided(Direction.OUTBOUND, b"", Drop(Reason.MALFORMED, None), T)
    ((_, _, fields),) = strict.calls
    assert fields == {"reason": "malformed", "direction": "outbound", "now": T}


def test_the_functions_of_logging_itself_will_do(caplog: pytest.LogCaptureFixture) -> None:
    refuse(DecisionLog(logging), Reason.PEER_ADDRESS)
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("WARNING", "Refused packet")
    assert vars(record)["cid"] == "alice"

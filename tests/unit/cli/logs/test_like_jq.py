r"""The output is that of `jq -r '"\(.time) \(.severity) \(.message)"'`.

The expected lines are written out here; where jq is installed, its output is compared as well.
"""

import json
import logging
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter import (
    DecisionLog,
    Direction,
    Drop,
    JsonFormatter,
    Reason,
    TunnelAddresses,
)
from firezone_filter.cli.command import run
from firezone_filter.cli.exit import ExitStatus

PROGRAM: Final = r'"\(.time) \(.severity) \(.message)"'

JQ: Final = shutil.which("jq") or ""
VERSION: Final = subprocess.getoutput("jq --version")  # noqa: S605, S607 - any jq on the path
needs_jq = pytest.mark.skipif(not JQ, reason="jq is not installed")
needs_jq_1_6 = pytest.mark.skipif("jq-1.6" not in VERSION, reason="jq 1.6 is not installed")

OBJECTS: Final[dict[bytes, bytes]] = {
    # As gateways and clients write them.
    b'{"time":"2026-08-22T12:00:00.123456789Z","target":"gateway","severity":"INFO",'
    b'"message":"Refused packet","cid":"alice"}': (
        b"2026-08-22T12:00:00.123456789Z INFO Refused packet"
    ),
    b'{"severity":"WARN","time":"2026-08-22T12:00:01Z"}': b"2026-08-22T12:00:01Z WARN null",
    b'{"message":"no time"}': b"null null no time",
    b"{}": b"null null null",
    b"null": b"null null null",
    # Values that are not text.
    b'{"time":1790000000,"severity":3,"message":true}': b"1790000000 3 true",
    b'{"time":1.5,"severity":false,"message":null}': b"1.5 false null",
    b'{"message":{"b":[1,"x",null],"a":{}}}': b'null null {"b":[1,"x",null],"a":{}}',
    b'{"message":[]}': b"null null []",
    b'{"message":["a\\"b\\\\c\\u0001\\n"]}': rb'null null ["a\"b\\c\u0001\n"]',
    b'{"message":-7,"time":9007199254740991}': b"9007199254740991 null -7",
    # Text of all kinds.
    b'{"message":""}': b"null null ",
    b'{"message":"a\\nb\\tc\\u001b[2J"}': b"null null a\nb\tc\x1b[2J",
    b'{"message":"nul \\u0000"}': b"null null nul \x00",
    b'{"message":"\\u00e9 \\ud83d\\ude00 \xc3\xa9"}': "null null é 😀 é".encode(),
    b'{"message":"\xe2\x80\xa8 \\/ \\u2028"}': "null null \u2028 / \u2028".encode(),
    b'{"message":"\xff bytes"}': "null null \ufffd bytes".encode(),
    # Several on a line, blanks around them, names twice.
    b'{"message":1}{"message":2} {"message":3}': b"null null 1\nnull null 2\nnull null 3",
    b' \t{"message":"x"}\r': b"null null x",
    b'{"message":1,"message":2}': b"null null 2",
}

# As jq 1.6 writes them; later versions keep the original digits.
NUMBERS: Final[dict[bytes, bytes]] = {
    b'{"time":1.0,"severity":1.50,"message":-0.0}': b"1 1.5 -0",
    b'{"time":1e3,"severity":1e16,"message":1e15}': b"1000 1e+16 1000000000000000",
    b'{"time":0.0001,"severity":0.00001,"message":1.5e-7}': b"0.0001 1e-05 1.5e-07",
    b'{"time":1e999,"severity":-1e999,"message":5e-324}': (
        b"1.7976931348623157e+308 -1.7976931348623157e+308 5e-324"
    ),
    b'{"time":1.2345678901234567e19,"message":[1.0,2.50]}': (b"12345678901234567000 null [1,2.5]"),
    b'{"time":NaN,"message":["\\u007f"]}': b'null null ["\\u007f"]',
    b'{"message":1790000000.123456789}': b"null null 1790000000.1234567",
}

INVALID: Final = [
    b"thread 'main' panicked at gateway.rs:7",
    b"[]",
    b"5",
    b'"text"',
    b"true",
    b'{"message":"cut off',
    b"{'message':1}",
    b'{"message":1,}',
    b'{"message":1} 5',
    b"half a character: \xe2\x82",
    b'{"message":' + b"[" * 255 + b"]" * 255 + b"}",
]


def printed(path: Path, capsysbinary: pytest.CaptureFixture[bytes], data: bytes) -> bytes:
    path.write_bytes(data)
    run(["logs", str(path)])
    return capsysbinary.readouterr().out


def jq(  # pragma: no cover - where jq is installed
    data: bytes,
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([JQ, "-r", PROGRAM], input=data, capture_output=True, check=False)  # noqa: S603 - ours


ALL = OBJECTS | NUMBERS
IDS = [line.decode(errors="replace")[:50] for line in ALL]


@pytest.mark.parametrize(("line", "expected"), ALL.items(), ids=IDS)
def test_a_line_is_printed_as_by_jq(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], line: bytes, expected: bytes
) -> None:
    assert printed(tmp_path / "a.log", capsysbinary, line) == expected + b"\n"


def test_a_file_with_invalid_lines_is_printed_whole(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    data = b"\n".join([*OBJECTS, *INVALID, b"", b" \t\r", *NUMBERS])
    expected = b"\n".join([*OBJECTS.values(), *INVALID, *NUMBERS.values()]) + b"\n"
    assert printed(tmp_path / "a.log", capsysbinary, data) == expected


@needs_jq
def test_jq_prints_the_same_for_a_file(  # pragma: no cover - where jq is installed
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    data = b"\n".join([b"", *OBJECTS, b" \t\r", *OBJECTS])
    assert printed(tmp_path / "a.log", capsysbinary, data) == jq(data).stdout


@needs_jq_1_6
def test_jq_prints_the_same_numbers(  # pragma: no cover - where jq is installed
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    data = b"\n".join(NUMBERS)
    assert printed(tmp_path / "a.log", capsysbinary, data) == jq(data).stdout


@needs_jq_1_6
@pytest.mark.parametrize("line", INVALID, ids=range(len(INVALID)))
def test_jq_stops_at_an_invalid_line(  # pragma: no cover - where jq is installed
    line: bytes,
) -> None:
    assert jq(line).returncode > 0


@needs_jq_1_6
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["time", "severity", "message", "other"]),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers(-(2**53), 2**53)
                | st.floats(allow_nan=False)
                | st.text(),
                lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                max_leaves=5,
            ),
        )
    )
)
def test_jq_prints_the_same_for_any_objects(  # pragma: no cover - where jq is installed
    tmp_path_factory: pytest.TempPathFactory, objects: list[dict[str, object]]
) -> None:
    path = tmp_path_factory.mktemp("jq") / "a.log"
    path.write_text("".join(json.dumps(each) + "\n" for each in objects))
    out = path.with_suffix(".out")
    with pytest.MonkeyPatch.context() as patch, out.open("w", encoding="utf-8") as stream:
        patch.setattr("sys.stdout", stream)
        assert run(["logs", str(path)]) == ExitStatus.DONE
    assert out.read_bytes() == jq(path.read_bytes()).stdout


@needs_jq
def test_jq_reads_the_lines_of_our_own_log(  # pragma: no cover - where jq is installed
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = tmp_path / "own.log"
    logger = logging.Logger("gateway", 1)  # noqa: LOG001 - of no other test's
    handler = logging.FileHandler(path)
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    log = DecisionLog(logger)
    log.client_connected("alice \ud800\x1b[2J", TunnelAddresses("100.64.0.2"), 1.79e9)
    log.decided(Direction.OUTBOUND, b"", Drop(Reason.MALFORMED, None), 1.79e9)
    logger.warning("odd: \udc00 \x7f\n", extra={"field": ["\ud800"]})
    handler.close()
    data = path.read_bytes()
    assert jq(data).returncode == 0
    assert printed(path, capsysbinary, data) == jq(data).stdout

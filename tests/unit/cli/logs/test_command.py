"""`firezone-filter logs`, from its arguments to its exit status."""

import io
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import pytest
from attrs import frozen

from firezone_filter.cli.command import run
from firezone_filter.cli.exit import ExitStatus
from firezone_filter.cli.logs import splitter
from firezone_filter.cli.logs.log_job import LogJob
from firezone_filter.cli.logs.selection import Selection
from tests.unit.capture.test_compression import gzip_member, zstd_frame
from tests.unit.cli.terminal import Said, closed_pipe

from .log_entries import at, line

ROOT = Path(__file__).parents[4]
FULL = Path("/dev/full")
needs_full_disk = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")

A = [
    line(time="2026-08-22T12:00:01Z", severity="INFO", message="Client connected", cid="alice"),
    line(time="2026-08-22T12:00:03Z", severity="WARN", message="Refused packet", cid="alice"),
]
B = [
    line(time="2026-08-22T12:00:02Z", severity="DEBUG", message="Sent keepalive", cid="bob"),
    line(time="2026-08-23T00:00:00Z", severity="ERROR", message="Lost the portal", tries=3),
]


@frozen
class Files:
    """Logs in an empty folder."""

    folder: Path

    @property
    def a(self) -> str:
        return str(self.folder / "a.log")

    @property
    def b(self) -> str:
        return str(self.folder / "b.log")

    def write(self, name: str, *lines: bytes) -> str:
        (self.folder / name).write_bytes(b"".join(lines))
        return str(self.folder / name)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    written = Files(tmp_path)
    written.write("a.log", *A)
    written.write("b.log", *B)
    return written


@pytest.fixture
def messages(said: Callable[[], Said]) -> Callable[..., list[str]]:
    """Return a function that runs the command and returns the printed messages."""

    def read(*arguments: str) -> list[str]:
        assert run(["logs", *arguments]) == ExitStatus.DONE
        return [printed.split(" ", 2)[2] for printed in said().out]

    return read


class Interrupted(io.RawIOBase):
    """Standard input at which the user, after a line, presses Ctrl-C."""

    def __init__(self, *chunks: bytes) -> None:
        super().__init__()
        self._chunks = iter(chunks)

    @property
    def buffer(self) -> Self:
        return self

    def read1(self, _: int) -> bytes:
        for chunk in self._chunks:
            return chunk
        raise KeyboardInterrupt


# --- Printed lines -----------------------------------------------------------------------


def test_files_are_printed_one_after_the_other(files: Files, said: Callable[[], Said]) -> None:
    assert run(["logs", files.b, files.a]) == ExitStatus.DONE
    assert said() == Said(
        [
            "2026-08-22T12:00:02Z DEBUG Sent keepalive",
            "2026-08-23T00:00:00Z ERROR Lost the portal",
            "2026-08-22T12:00:01Z INFO Client connected",
            "2026-08-22T12:00:03Z WARN Refused packet",
        ],
        [],
    )


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_standard_input_is_printed(
    said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(A[0])))
    assert run(["logs", *arguments]) == ExitStatus.DONE
    assert said().out == ["2026-08-22T12:00:01Z INFO Client connected"]


def test_a_log_without_lines_is_no_error(files: Files, said: Callable[[], Said]) -> None:
    assert run(["logs", files.write("empty.log")]) == ExitStatus.DONE
    assert said() == Said([], [])


def test_merged_files_are_in_order_of_time(
    files: Files, messages: Callable[..., list[str]]
) -> None:
    assert messages("--merge", files.b, files.a) == [
        "Client connected",
        "Sent keepalive",
        "Refused packet",
        "Lost the portal",
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--severity", "WARN"], ["Refused packet", "Lost the portal"]),
        (["--severity", "warn"], ["Refused packet", "Lost the portal"]),
        (["--severity", "Error"], ["Lost the portal"]),
        (["--grep", "the|keep"], ["Sent keepalive", "Lost the portal"]),
        (["--field", "cid=alice"], ["Client connected", "Refused packet"]),
        (["--field", "cid=null"], ["Lost the portal"]),
        (["--field", "cid=alice", "--field", "severity=WARN"], ["Refused packet"]),
        (["--grep", "THE|KEEP", "-i"], ["Sent keepalive", "Lost the portal"]),
        (["--ignore-case", "--grep", "refused"], ["Refused packet"]),
        (["--grep", "the|keep", "--invert"], ["Client connected", "Refused packet"]),
        (["--invert", "--severity", "WARN"], ["Client connected", "Sent keepalive"]),
        (["--invert", "--grep", "packet", "--field", "cid=alice"],
         ["Client connected", "Sent keepalive", "Lost the portal"]),
        (["--invert", "--grep", "packet", "--since", "2026-08-22T12:00:02Z"],
         ["Sent keepalive", "Lost the portal"]),
        (["--since", "2026-08-22T12:00:02+0000", "--until", "2026-08-22T14:00:03+0200"],
         ["Sent keepalive"]),
        (["--since", "2026-08-23"], ["Lost the portal"]),
        (["--until", "2026-08-22T12:00:02Z"], ["Client connected"]),
        (["--since", "2026-08-22T14:00:02+02:00", "--until", "2026-08-22T12:00:03.1Z"],
         ["Refused packet", "Sent keepalive"]),
        (["--severity", "WARN", "--field", "cid=alice", "--grep", "Ref"], ["Refused packet"]),
    ],
)  # fmt: skip
def test_options_select_lines(
    files: Files, messages: Callable[..., list[str]], options: list[str], expected: list[str]
) -> None:
    assert messages(files.a, files.b, *options) == expected


def test_all_fields_may_be_printed(files: Files, said: Callable[[], Said]) -> None:
    run(["logs", "--fields", files.a, files.b])
    assert [printed.split(" ")[-1] for printed in said().out] == [
        "cid=alice",
        "cid=alice",
        "cid=bob",
        "tries=3",
    ]


# --- Invalid lines -----------------------------------------------------------------------


def test_an_invalid_line_is_passed_through_and_named_at_the_end(
    files: Files, said: Callable[[], Said]
) -> None:
    log = files.write("c.log", A[0], b"panicked at gateway.rs:7\n", A[1])
    assert run(["logs", log]) == ExitStatus.DAMAGED
    assert said() == Said(
        [
            "2026-08-22T12:00:01Z INFO Client connected",
            "panicked at gateway.rs:7",
            "2026-08-22T12:00:03Z WARN Refused packet",
        ],
        [f"firezone-filter: {log}:2: not JSON, passed through"],
    )


def test_an_invalid_line_that_is_not_selected_is_named_all_the_same(
    files: Files, said: Callable[[], Said]
) -> None:
    log = files.write("c.log", b"panic\n")
    assert run(["logs", log, "--grep", "x"]) == ExitStatus.DAMAGED
    assert said() == Said([], [f"firezone-filter: {log}:1: not JSON, passed through"])


def test_a_line_break_in_a_name_makes_no_second_line(
    files: Files, said: Callable[[], Said]
) -> None:
    run(["logs", files.write("a\nb", b"panic\n")])
    assert len(said().err) == 1


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"[" * 100_000 + b"\n", id="deep arrays"),
        pytest.param(b'{"a":' * 100_000 + b"\n", id="deep objects"),
        pytest.param(b"9" * 100_000 + b"\n", id="long number"),
        pytest.param(b"crlf\r\n", id="CRLF"),
        pytest.param("Gerät getrennt\n".encode("latin-1"), id="Latin-1"),
        pytest.param(b"\r\r\x0b\x0c\n", id="control characters"),
        pytest.param(b"x" * 1_000_000 + b"\n", id="long line"),
    ],
)
def test_text_of_any_kind_is_passed_through(
    files: Files, capsysbinary: pytest.CaptureFixture[bytes], data: bytes
) -> None:
    assert run(["logs", files.write("c.log", data)]) == ExitStatus.DAMAGED
    assert capsysbinary.readouterr().out.removesuffix(b"\n") == data.removesuffix(b"\n")


@pytest.mark.parametrize("options", [[], ["--grep", ""], ["--json"], ["--severity", "TRACE"]])
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x00" * 10, id="zeros"),
        pytest.param(b"\xff\xfe\x00x\n", id="UTF-16"),
        pytest.param(b"\xed\xa0\x80\n", id="surrogate"),
        pytest.param(bytes(range(256)) + b"\n", id="every byte"),
        pytest.param(b"\x7fELF\x02\x01\x01\0\nGNU\nld.so\n", id="program"),
        pytest.param(b"BZh91AY&SY\xe1\x95\x04\x17\xff\n\x80\x10\n", id="bzip2"),
    ],
)
def test_binary_data_is_named_and_skipped(
    files: Files, said: Callable[[], Said], data: bytes, options: list[str]
) -> None:
    log = files.write("c.log", A[1], data.rstrip(b"\n") + b"\n", A[1])
    assert run(["logs", log, *options]) == ExitStatus.DAMAGED
    printed = said()
    assert len(printed.out) == 2
    (complaint,) = printed.err
    assert complaint.startswith(f"firezone-filter: {log}:2: binary data, ")


# --- Long lines --------------------------------------------------------------------------

LONG = line(
    time="2026-08-22T12:00:02Z", severity="WARN", message="x" * (3 << 20) + "needle", cid="alice"
)


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        ([], True),
        (["--grep", "needle$"], True),
        (["--grep", "haystack"], False),
        (["--severity", "WARN"], True),
        (["--severity", "ERROR"], False),
        (["--field", "cid=alice"], True),
        (["--field", "cid=bob"], False),
        (["--since", "2026-08-22T12:00:02Z"], True),
        (["--until", "2026-08-22T12:00:02Z"], False),
    ],
)
def test_a_long_line_is_a_line(
    files: Files, said: Callable[[], Said], options: list[str], *, printed: bool
) -> None:
    assert run(["logs", files.write("c.log", LONG, LONG), *options]) == ExitStatus.DONE
    lines = said().out
    assert len(lines) == 2 * printed
    assert all(text.endswith("xneedle") for text in lines)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["INFO", b"panic" * 400, "WARN"]),
        (["--grep", "pan"], [b"panic" * 400]),
        (["--grep", "Refused"], ["WARN"]),
        (["--grep", "pan", "--invert"], ["INFO", "WARN"]),
    ],
)
def test_a_line_beyond_the_limit_is_printed_whole_or_not_at_all(
    files: Files,
    said: Callable[[], Said],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    expected: list[str | bytes],
) -> None:
    monkeypatch.setattr(splitter, "MAX_LINE", 500)
    log = files.write("c.log", A[0], b"panic" * 400 + b"\n", A[1])
    assert run(["logs", log, *options]) == ExitStatus.DAMAGED
    printed = said()
    assert [
        text.encode() if text.startswith("panic") else text.split()[1] for text in printed.out
    ] == expected
    assert printed.err == [
        f"firezone-filter: {log}:2: too long to be read as JSON, passed through"
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--severity", "WARN"], ["WARN"]),
        (["--severity", "TRACE"], ["INFO", "WARN"]),
        (["--severity", "WARN", "--invert"], ["INFO"]),
        (["--field", "severity=WARN"], ["WARN"]),
        (["--field", "severity=WARN", "--invert"], ["INFO"]),
        (["--severity", "TRACE", "--grep", "pan"], []),
    ],
)
@pytest.mark.parametrize(
    "long", [b"panic" * 400, b'{"severity":"ERROR","message":"%0500d pan"}' % 0]
)
def test_a_line_beyond_the_limit_is_left_out_where_its_fields_matter(  # noqa: PLR0913, PLR0917 - two of them are fixtures
    files: Files,
    said: Callable[[], Said],
    monkeypatch: pytest.MonkeyPatch,
    long: bytes,
    options: list[str],
    expected: list[str],
) -> None:
    monkeypatch.setattr(splitter, "MAX_LINE", 500)
    log = files.write("c.log", A[0], long + b"\n", b"panic\n", A[1])
    assert run(["logs", log, *options]) == ExitStatus.DAMAGED
    printed = said()
    assert [text.split()[1] for text in printed.out if text != "panic"] == expected
    assert "panic" in printed.out
    assert printed.err == [
        f"firezone-filter: {log}:2: too long for --severity and --field to be read, left out",
        f"firezone-filter: {log}:3: not JSON, passed through",
    ]


# --- Compressed files --------------------------------------------------------------------


@pytest.mark.parametrize("pack", [gzip_member, zstd_frame])
def test_compressed_files_are_read_as_what_they_are(
    files: Files, messages: Callable[..., list[str]], pack: Callable[[bytes], bytes]
) -> None:
    packed = files.write("a.log.1", pack(A[0] + A[1]))
    assert messages("--merge", files.b, packed) == [
        "Client connected",
        "Sent keepalive",
        "Refused packet",
        "Lost the portal",
    ]


@pytest.mark.parametrize("pack", [gzip_member, zstd_frame])
def test_so_is_standard_input(
    messages: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    pack: Callable[[bytes], bytes],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pack(A[0]))))
    assert messages("-") == ["Client connected"]


def test_a_compressed_file_that_is_cut_short_is_reported(
    files: Files, said: Callable[[], Said]
) -> None:
    log = files.write("a.log.gz", gzip_member(A[0])[:-4])
    assert run(["logs", log]) == ExitStatus.UNUSABLE
    assert said() == Said(
        ["2026-08-22T12:00:01Z INFO Client connected"],
        [f"firezone-filter: {log}: reading stops: the compressed data is cut short"],
    )


# --- As JSON -----------------------------------------------------------------------------


def test_chosen_lines_are_printed_as_they_were(
    files: Files, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    odd = b' {"severity" :"WARN","n":1.0, "message":"\\u00e9"}\r\n'
    log = files.write("c.log", A[0], odd, b"panic\n", A[1])
    assert run(["logs", log, "--json", "--severity", "WARN"]) == ExitStatus.DAMAGED
    assert capsysbinary.readouterr().out == odd + b"panic\n" + A[1]


# --- Times that count from now -----------------------------------------------------------


def hours_ago(hours: int) -> bytes:
    return line(
        time=(datetime.now(UTC) - timedelta(hours=hours)).isoformat(), message=f"{hours} h ago"
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--since", "-2h"], ["1 h ago"]),
        (["--since=-2h"], ["1 h ago"]),
        (["--since", "-1d", "--until", "-2h"], ["3 h ago"]),
        (["--since", "-3d", "--until", "yesterday"], ["50 h ago"]),
        (["--local", "--since", "-3d", "--until", "-1d"], ["50 h ago"]),
        (["--until", "-1w"], []),
    ],
)
def test_a_time_may_count_from_now(
    files: Files, messages: Callable[..., list[str]], options: list[str], expected: list[str]
) -> None:
    log = files.write("c.log", *map(hours_ago, (50, 3, 1)))
    assert messages(log, *options) == expected


@pytest.mark.parametrize("place", [0, 2])
def test_times_without_a_zone_may_be_local(
    files: Files,
    messages: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    place: int,
) -> None:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    options = ["--since", "2026-08-22 14:00:02"]
    options.insert(place, "--local")
    try:
        assert messages(files.a, files.b, *options) == [
            "Refused packet",
            "Sent keepalive",
            "Lost the portal",
        ]
    finally:
        monkeypatch.undo()
        time.tzset()


# --- Bad files and arguments -------------------------------------------------------------


def test_a_missing_file_is_reported_and_the_others_are_printed(
    files: Files, said: Callable[[], Said]
) -> None:
    no = str(files.folder / "no.log")
    assert run(["logs", no, files.a]) == ExitStatus.UNUSABLE
    printed = said()
    assert printed.err == [f"firezone-filter: {no}: No such file or directory"]
    assert len(printed.out) == 2


def test_a_missing_file_outweighs_an_invalid_line(files: Files) -> None:
    assert run(["logs", "/no/such.log", files.write("c.log", b"panic\n")]) == ExitStatus.UNUSABLE


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--severity", "LOUD"], "'LOUD' is not one of"),
        (["--grep", "("], "'(' is no regular expression"),
        (["--field", "cid"], "'cid' is not NAME=VALUE"),
        (["--since", "noon"], "'noon' is neither a date nor a time"),
        (["--until", "2026-02-31"], "'2026-02-31' is neither a date nor a time"),
        (["--since", "2026-08-23", "--until", "2026-08-22"], "--until is not after --since"),
        (["--since", "2026-08-22", "--until", "2026-08-22"], "--until is not after --since"),
        (["--since", "-1y"], "'-1y' is neither a date nor a time"),
        (["-i"], "-i needs --grep"),
        (["--invert"], "--invert needs --severity, --grep or --field"),
        (["--invert", "--since", "-1h"], "--invert needs --severity, --grep or --field"),
        (["--nonsense"], "No such option"),
        (["-", "-"], "standard input can be read only once"),
        (["--follow"], "--follow needs files"),
        (["--follow", "-"], "--follow needs files"),
        (["--follow", "a", "-"], "--follow needs files"),
    ],
)
def test_bad_arguments_are_reported_in_one_line(
    said: Callable[[], Said], options: list[str], complaint: str
) -> None:
    assert run(["logs", *options]) == ExitStatus.UNUSABLE
    (error,) = said().err
    assert complaint in error


def test_help_lists_the_exit_statuses(said: Callable[[], Said]) -> None:
    assert run(["logs", "--help"]) == ExitStatus.DONE
    assert any("Exit status: " in printed for printed in said().out)


# --- The end -----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--merge"], ["--severity", "ERROR"]])
def test_a_closed_pipe_ends_the_run_in_silence(
    files: Files,
    said: Callable[[], Said],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
) -> None:
    invalid = files.write("c.log", b"panic\n" * 5000)
    with closed_pipe(monkeypatch):
        assert run(["logs", files.a, files.b, invalid, *options]) == ExitStatus.CLOSED_PIPE
    assert said().err == []


@needs_full_disk
def test_a_full_disk_is_reported_in_one_line(
    files: Files, said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    with FULL.open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert run(["logs", files.a]) == ExitStatus.UNUSABLE
    assert said().err == ["firezone-filter: writing stops: No space left on device"]


def test_ctrl_c_ends_the_run_after_the_lines_read_so_far(
    said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Interrupted(A[0] + b"panic\n"))
    assert run(["logs"]) == ExitStatus.INTERRUPTED
    assert said() == Said(
        ["2026-08-22T12:00:01Z INFO Client connected", "panic"],
        ["firezone-filter: standard input:2: not JSON, passed through"],
    )


def test_ctrl_c_outweighs_a_missing_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Interrupted())
    assert run(["logs", "/no/such.log", "-"]) == ExitStatus.INTERRUPTED


def test_closed_streams_do_not_stop_a_run(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert run(["logs", files.a]) == ExitStatus.DONE
    for stream in (sys.stdout, sys.stderr):
        stream.close()


# --- Following ---------------------------------------------------------------------------


def test_appended_lines_are_printed_until_ctrl_c(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []

    def sleep(_: float) -> None:
        seen.append(capsys.readouterr().out)
        if len(seen) == 3:
            raise KeyboardInterrupt
        with Path(files.a).open("ab") as stream:
            stream.write(at(len(seen), "too early") + at(59 + len(seen), f"more {len(seen)}"))

    job = LogJob((files.a,), Selection(since="2026-08-22T12:00:03"), follow=True)
    assert job.run(pytest.fail, sleep) is ExitStatus.INTERRUPTED
    assert seen == [
        "2026-08-22T12:00:03Z WARN Refused packet\n",
        "2026-08-22T12:01:00.000000000Z INFO more 1\n",
        "2026-08-22T12:01:01.000000000Z INFO more 2\n",
    ]


@pytest.fixture
def heeding_ctrl_c() -> Iterator[None]:
    """Let programs heed SIGINT even if the shell started the tests with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeding_ctrl_c")
def test_ctrl_c_ends_a_program_that_follows(files: Files) -> None:
    command = [sys.executable, "-m", "firezone_filter.cli", "logs", "--follow", files.a]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - ours
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in A]
        Path(files.a).write_bytes(b"".join([*A, *B]))
        lines += [process.stdout.readline() for _ in B]
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert [each.split()[1] for each in lines] == ["INFO", "WARN", "DEBUG", "ERROR"]
    assert (rest, process.returncode) == ("", ExitStatus.INTERRUPTED)


def test_without_a_file_to_follow_the_run_ends_at_once(said: Callable[[], Said]) -> None:
    assert run(["logs", "--follow", "/no/such.log"]) == ExitStatus.UNUSABLE
    assert len(said().err) == 1

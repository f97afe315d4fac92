"""Where nanoseconds go: what functions of C do, and the sums."""

import pytest

from benches.nanoseconds import KINDS, PARTS, REST, main, part_of, shares, table

REPORT = """
# Overhead  Shared Object                            Symbol
# ........  .......................................  ......
#
    60.00%  libpython3.11.so.1.0                     [.] _PyEval_EvalFrameDefault
    20.50%  _native.cpython-311-x86_64-linux-gnu.so  [.] __pyx_f_7_native_handle
    10.25%  libpython3.11.so.1.0                     [.] siphash13
     5.00%  libpython3.11.so.1.0                     [.] _PyFrame_Clear
     4.25%  [kernel.kallsyms]                        [k] handle_softirqs
"""


@pytest.mark.parametrize(
    ("function", "part"),
    [
        ("_native.cpython-311-x86_64-linux-gnu.so  [.] __pyx_f_7_native_dict", 0),
        ("libpython3.11.so.1.0  [.] bytes_hash", 1),
        ("libpython3.11.so.1.0  [.] _Py_dict_lookup", 2),
        ("_struct.cpython-311-x86_64-linux-gnu.so  [.] s_unpack_internal", 3),
        ("libpython3.11.so.1.0  [.] tupledealloc", 4),
        ("libpython3.11.so.1.0  [.] gc_collect_main", 5),
        ("libpython3.11.so.1.0  [.] PyObject_Vectorcall", 6),
    ],
)
def test_each_function_belongs_to_a_part(function: str, part: int) -> None:
    assert part_of(function) == PARTS[part][0]


def test_the_shares_of_a_part_are_summed_up() -> None:
    assert shares(REPORT) == {
        "byte code and calls": 6_500,
        "the extension module": 2_050,
        "hashing": 1_025,
        REST: 425,
    }


def test_a_column_has_its_sum_at_the_end() -> None:
    lines = table({"floor": {"hashing": 7.4, REST: 13.0}}).splitlines()
    assert lines[0] == "|  | floor |"
    assert lines[-2:] == [f"| {REST} | 13 |", "| nanoseconds | 20 |"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_goes_through_its_loop(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--loop", kind, "--seconds", "0.01"])
    assert 10 < float(capsys.readouterr().out) < 1e6

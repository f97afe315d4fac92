"""The search of `hostile` below AddressSanitizer and UndefinedBehaviorSanitizer.

    python -m tests.fuzz.sanitized -max_total_time=60

The extension module is built once more, in a folder of its own, with checks of every read and
write, and the package is run from there. Each object is an allocation of its own
(`PYTHONMALLOC=malloc`), so a byte beyond a packet is beyond an allocation.

With clang and `atheris` the search is guided by what the C code does; else, or with `--gcc`, gcc's
sanitizers watch seeds that are changed by chance. It needs Cython, and one of the two compilers.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = ROOT / "firezone_filter"
NATIVE: Final = Path("firezone_filter", "compiled", "_native.c")
MODULE: Final = "firezone_filter.compiled._native"

FLAGS: Final = ("-O1", "-g", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all", "-w")
GCC: Final = "--gcc"
SANITIZERS: Final = "-fsanitize=address,undefined"
"""Nothing is recovered from: what is found ends the process."""

OPTIONS: Final = {
    # Python itself leaves objects alone at exit, and gcc's linking order is ours to choose.
    "ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0:abort_on_error=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "PYTHONMALLOC": "malloc",
    "FIREZONE_FILTER_PURE": "0",
}


class Toolchain(NamedTuple):
    """A compiler with sanitizers, and the library that has to be there before Python is."""

    compiler: str
    sanitizers: str
    preloaded: str


def toolchains() -> Iterator[Toolchain]:
    """Yield clang with the fuzzer's sanitizers if there are both, then gcc with its own."""
    atheris = importlib.util.find_spec("atheris")
    if atheris is not None and atheris.origin is not None and shutil.which("clang") is not None:
        with_fuzzer = Path(atheris.origin).parents[1] / "asan_with_fuzzer.so"
        yield Toolchain("clang", f"{SANITIZERS},fuzzer-no-link", str(with_fuzzer))
    if shutil.which("gcc") is not None:
        found = [output("gcc", f"-print-file-name={one}") for one in ("libasan.so", "libubsan.so")]
        yield Toolchain("gcc", SANITIZERS, " ".join(found))


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


def build(folder: Path, tools: Toolchain) -> None:
    """Copy the package to *folder*, with an extension module that is watched."""
    shutil.copytree(
        SOURCES, folder / SOURCES.name, ignore=shutil.ignore_patterns("*.so", "_native.c")
    )
    source = folder / NATIVE
    cython = [sys.executable, "-m", "cython", "-3", str(source.with_suffix(".pyx"))]
    subprocess.run([*cython, "-o", str(source)], check=True)  # noqa: S603 - ours
    library = source.with_suffix(sysconfig.get_config_var("EXT_SUFFIX"))
    include = f"-I{sysconfig.get_path('include')}"
    command = [tools.compiler, "-shared", "-fPIC", *FLAGS, tools.sanitizers, include]
    subprocess.run([*command, str(source), "-o", str(library)], check=True)  # noqa: S603 - ours


def main(arguments: list[str]) -> int:
    """Build, and search as the arguments of `hostile` say; return the status of the search."""
    for tools in toolchains():
        if GCC in arguments and tools.compiler != "gcc":
            continue
        with TemporaryDirectory(prefix="firezone-filter-sanitized-") as name:
            try:
                build(Path(name), tools)
            except subprocess.CalledProcessError:
                # Some have the compiler without its sanitizers.
                continue
            others = [] if tools.compiler == "clang" else [GCC]
            return search(Path(name), tools, [*arguments, *others])
    sys.exit("no compiler with sanitizers is there")


def search(folder: Path, tools: Toolchain, arguments: list[str]) -> int:
    environment = {
        **os.environ,
        **OPTIONS,
        "LD_PRELOAD": tools.preloaded,
        "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT))),
    }
    # A module that cannot be loaded would be taken for none at all.
    watched = [sys.executable, "-c", f"import {MODULE} as module; print(module.__file__)"]
    subprocess.run(watched, cwd=folder, env=environment, check=True)  # noqa: S603 - ours
    command = [sys.executable, "-m", "tests.fuzz.hostile", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, check=False).returncode  # noqa: S603 - ours


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

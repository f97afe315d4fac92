"""What pyproject.toml has no stable form for: the extension module, and the bytes of an sdist."""

import gzip
import os
import tarfile
from io import BytesIO
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.sdist import sdist

FOLDER = "firezone_filter/compiled"

# The same switch as at run time; with it, there is one wheel for every machine.
PLAIN = os.environ.get("FIREZONE_FILTER_PURE", "") not in {"", "0"}

NATIVE = Extension(
    "firezone_filter.compiled._native",
    [f"{FOLDER}/_native.pyx"],
    depends=[str(part) for part in sorted(Path(FOLDER).glob("*.pxi"))],
    # What debuggers are told names the folder of the build, so no two builds would be equal.
    extra_compile_args=["-g0"] if os.name == "posix" else [],
    # Where there is no C compiler the package is installed without it, with a warning.
    optional=True,
)


def made_at(epoch: int, path: Path) -> None:
    """Let a .tar.gz say nothing of who made it, and when: with the same files, the same bytes."""
    with tarfile.open(path) as archive:
        members = [(member, archive.extractfile(member)) for member in archive]
        contents = [(member, file.read() if file else b"") for member, file in members]
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=epoch) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for member, content in contents:
            member.mtime, member.uid, member.gid = epoch, 0, 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.mode & 0o100 else 0o644
            member.pax_headers = {}
            archive.addfile(member, BytesIO(content))


class Sdist(sdist):
    """Heeds SOURCE_DATE_EPOCH, as wheels do by themselves."""

    def make_archive(self, *arguments: object, **named: object) -> str:
        """Return the path of the archive that it has written."""
        path: str = super().make_archive(*arguments, **named)
        if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
            made_at(int(epoch), Path(path))
        return path


setup(cmdclass={"sdist": Sdist}, ext_modules=[] if PLAIN else [NATIVE])

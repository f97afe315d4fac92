"""What pyproject.toml has no stable form for: the extension module, which is optional."""

from pathlib import Path

from setuptools import Extension, setup

FOLDER = "firezone_filter/compiled"

setup(
    ext_modules=[
        Extension(
            "firezone_filter.compiled._native",
            [f"{FOLDER}/_native.pyx"],
            depends=[str(part) for part in sorted(Path(FOLDER).glob("*.pxi"))],
            # Where there is no C compiler the package is installed without it, with a warning.
            optional=True,
        )
    ]
)

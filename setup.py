"""What pyproject.toml has no stable form for: the extension module, which is optional."""

from setuptools import Extension, setup

FOLDER = "firezone_filter/compiled"

setup(
    ext_modules=[
        Extension(
            "firezone_filter.compiled._native",
            [f"{FOLDER}/_native.pyx"],
            depends=[
                f"{FOLDER}/{part}.pxi" for part in ("access", "lookup", "packet", "tracking")
            ],
            # Where there is no C compiler the package is installed without it, with a warning.
            optional=True,
        )
    ]
)

"""A coverage-guided search for inputs on which the gateway and its model differ.

    python tests/fuzz/fuzz_gateway.py -runs=20000

Needs `atheris`; options are those of libFuzzer. It writes an input that it has found to the
current directory; the input's name as an argument runs it again.
"""

import importlib
import sys
from pathlib import Path
from tempfile import mkdtemp
from types import ModuleType

ROOT = Path(__file__).parents[2]


def main(arguments: list[str], atheris: ModuleType) -> None:
    """Fuzz, beginning with what real networks have sent."""
    # The model need not be covered: it is what the gateway is held against.
    with atheris.instrument_imports(include=["firezone_filter"]):
        interpret = importlib.import_module("tests.fuzz.interpret")
    options = [argument for argument in arguments[1:] if argument.startswith("-")]
    if options == arguments[1:]:
        # No input was named: begin with the seeds.
        corpus = Path(mkdtemp(prefix="firezone-filter-fuzz-"))
        for number, seed in enumerate(interpret.seeds(interpret.CAPTURES)):
            (corpus / f"seed-{number}").write_bytes(seed)
        arguments = [*arguments, str(corpus)]
    atheris.Setup(arguments, interpret.run)
    atheris.Fuzz()


if __name__ == "__main__":  # pragma: no cover - in a process of its own
    sys.path.insert(0, str(ROOT))
    main(sys.argv, importlib.import_module("atheris"))

"""Who may import whom, read from the source; nothing is imported to find out."""

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import firezone_filter

PACKAGE = "firezone_filter"
SOURCES = Path(firezone_filter.__file__).parent

# Low to high: a room imports only from rooms on lower floors, and from itself.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"compiled"}),
    frozenset({"packet", "structures"}),
    frozenset({"values", "capture"}),
    frozenset({"tracking"}),
    frozenset({"documents", "nat", "stateful", "accounting", "logs"}),
    frozenset({"access"}),
    frozenset({"gateway"}),
    frozenset({"policy", "portal"}),
    # The package root: no room of the core may import it, since it imports all of them.
    frozenset({""}),
    frozenset({"report"}),
    frozenset({"replay", "testing", "aio"}),
    frozenset({"host"}),
    frozenset({"cli"}),
    frozenset({"__main__"}),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# What a lower floor would allow, and the design does not.
NEVERS = {
    "nat": {"accounting", "stateful"},
    "stateful": {"accounting", "nat"},
    "packet": {"structures"},
    "structures": {"packet"},
    "capture": {"values"},
    "portal": {"policy"},
}

# The same for single modules.
MODULE_NEVERS = {"gateway.fragments": {"accounting"}}

# They know nothing of the rest, whatever floor it is on, but which of their parts are compiled.
ALONE = ("compiled", "packet", "structures")

# The way of a packet; each of these opens with its theory.
DECISION_PATH = (
    "gateway.gateway",
    "gateway.lookup",
    "gateway.first_packets",
    "gateway.judge",
    "gateway.flow_cache",
    "gateway.fragments",
    "nat.nat",
    "nat.flows",
    "stateful.handlers",
    "tracking.handlers",
    "tracking.lifetimes",
    "tracking.sessions",
    "accounting.flow_counting",
)

# The rooms of commands, which may touch the world.
OUTSIDE = frozenset({"capture", "replay", "report", "aio", "host", "cli", "__main__"})

# Those of the library that do, and those that know a path when they see one: captures are opened
# for everybody by one module.
OPENING = frozenset(
    {
        "capture.sources",
        "replay.outputs.files",
        "replay.outputs.outputs",
        "replay.run",
    }
)

# They name its types.
ARROW = frozenset(
    {
        "replay.arrow",
        "replay.columns.batches",
        "replay.outputs.tables",
        "replay.partitions.column_rendering",
        "replay.run",
    }
)

# What is for the tests of others: chance comes from Hypothesis alone.
TESTING = "testing"

# What the core may depend on, and who may know it.
ANYWHERE = frozenset({"attr", "attrs"})
# (dpkt is for whole packets where speed does not matter; nothing of the core reads any so far.)
KNOWN_BY = {"radix": {"access.table"}, "dpkt": set()}

# The world: clocks, sockets, files, threads, chance, environment.
THE_WORLD = frozenset(
    {
        "asyncio",
        "calendar",
        "concurrent",
        "contextvars",
        "ctypes",
        "datetime",
        "fcntl",
        "getpass",
        "gettext",
        "glob",
        "http",
        "importlib",
        "io",
        "locale",
        "logging",
        "mmap",
        "multiprocessing",
        "os",
        "pathlib",
        "pkgutil",
        "platform",
        "queue",
        "random",
        "sched",
        "secrets",
        "select",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "socketserver",
        "sqlite3",
        "ssl",
        "subprocess",
        "sys",
        "syslog",
        "tempfile",
        "threading",
        "time",
        "urllib",
        "uuid",
        "warnings",
        "zoneinfo",
    }
)
# A log speaks of the world: it hands lines to a logger that the host opened, and spells the
# times that the host brought. Nothing below the room of logs does. Which build is in use is for
# whoever starts the process to say, before anything is imported.
SPEAK_OF_IT = {
    "datetime": {"logs.timestamps"},
    "logging": {"logs.formatter", "logs.lines", "logs.loggers"},
    "importlib": {"compiled.twins"},
    "os": {"compiled.twins"},
}
WORLDLY_CALLS = frozenset(
    {"open", "print", "input", "exec", "eval", "compile", "breakpoint", "__import__"}
)


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCES).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


TREES = {module_name(path): ast.parse(path.read_text()) for path in SOURCES.rglob("*.py")}


def room(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


CORE = sorted(name for name in TREES if room(name) not in OUTSIDE | {TESTING})
COMMANDS = sorted(name for name in TREES if room(name) in OUTSIDE)
FOR_TESTS = sorted(name for name in TREES if room(name) == TESTING)


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield what is imported anywhere in a module, also under `TYPE_CHECKING`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner.removeprefix(f"{PACKAGE}.") in TREES else base


def own_imports(module: str) -> set[str]:
    """Return the modules of this package that *module* imports, without its name."""
    return {
        name.removeprefix(PACKAGE).removeprefix(".")
        for name in imported(TREES[module])
        if name.split(".")[0] == PACKAGE
    }


def other_imports(module: str) -> set[str]:
    """Return the top-level names of everything else that *module* imports."""
    return {name.split(".")[0] for name in imported(TREES[module])} - {PACKAGE}


def calls(module: str) -> set[str]:
    return {
        node.func.id
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


def attributes_of(module: str, name: str) -> set[str]:
    """Return what a module takes from something by dots."""
    return {
        node.attr
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == name
    }


def attribute_names(module: str) -> set[str]:
    return {node.attr for node in ast.walk(TREES[module]) if isinstance(node, ast.Attribute)}


def method_calls(module: str, method: str) -> Iterator[tuple[str, str]]:
    """Yield each call of a method of that name: the function that it stands in, and on what."""
    for outer in ast.walk(TREES[module]):
        if isinstance(outer, ast.FunctionDef):
            for node in ast.walk(outer):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr == method
                ):
                    yield outer.name, ast.unparse(node.func.value)


@pytest.mark.parametrize(
    "source",
    [
        "import firezone_filter.access.table",
        "import firezone_filter.access.table as t",
        "from firezone_filter.access.table import Match",
        "from firezone_filter.access import table",
        "if TYPE_CHECKING:\n    from firezone_filter.access.table import Match",
        "def f():\n    from firezone_filter.access.table import Match",
    ],
    ids=["module", "alias", "name", "from-room", "type-checking", "function"],
)
def test_an_import_is_found_in_every_form(source: str) -> None:
    assert list(imported(ast.parse(source))) == ["firezone_filter.access.table"]


@pytest.mark.parametrize("module", sorted(TREES))
def test_a_room_imports_only_from_lower_floors(module: str) -> None:
    here = room(module)
    others = {room(name) for name in own_imports(module)} - {here}
    assert {name for name in others if FLOOR[name] >= FLOOR[here]} == set()
    assert others & (NEVERS.get(here, set()) | MODULE_NEVERS.get(module, set())) == set()


@pytest.mark.parametrize("here", ALONE)
def test_bytes_and_structures_import_nothing_of_ours_but_themselves(here: str) -> None:
    modules = [module for module in TREES if room(module) == here]
    others = {room(name) for module in modules for name in own_imports(module)}
    assert others <= {here, "compiled"}


def test_every_room_has_a_floor_and_every_never_speaks_of_what_there_is() -> None:
    rooms = {room(module) for module in TREES}
    assert rooms == set(FLOOR)
    assert {*NEVERS, *ALONE} <= rooms
    assert {*MODULE_NEVERS, *DECISION_PATH} <= set(TREES)


def test_no_module_imports_itself_by_way_of_others() -> None:
    order = TopologicalSorter({module: own_imports(module) for module in TREES})
    assert set(order.static_order()) == set(TREES)


# --- The shape of the decision path --------------------------------------------------------


def test_only_the_commit_stores_into_the_flow_cache() -> None:
    storing = {
        (module, function)
        for module in TREES
        for name in ("store", "store_noted", "prepare")
        for function, _ in method_calls(module, name)
    }
    # What first packets are looked up for, what opens a session at once, and everything else.
    assert storing == {
        ("gateway.first_packets", "_first"),
        ("gateway.gateway", "_translate"),
        ("gateway.gateway", "_commit_allowed"),
        ("gateway.flow_cache", "store_noted"),
    }


def test_the_flow_cache_invalidates_by_methods_of_that_name() -> None:
    methods = {
        node.name
        for kind in TREES["gateway.flow_cache"].body
        if isinstance(kind, ast.ClassDef) and kind.name in {"FlowStore", "ClientFlowCache"}
        for node in kind.body
        if isinstance(node, ast.FunctionDef)
    }
    assert {"store", "store_noted", "invalidate", "invalidate_inbound"} <= methods


@pytest.mark.parametrize("module", DECISION_PATH)
def test_a_module_of_the_decision_path_has_a_theory_of_operation(module: str) -> None:
    assert "\n\nTheory of operation. " in (ast.get_docstring(TREES[module]) or "")


# --- The world -----------------------------------------------------------------------------


@pytest.mark.parametrize("module", sorted(TREES))
def test_imports_are_absolute(module: str) -> None:
    assert [name for name in imported(TREES[module]) if name.startswith(".")] == []


@pytest.mark.parametrize("module", CORE)
def test_the_core_never_touches_the_world(module: str) -> None:
    spoken_of = {name for name, modules in SPEAK_OF_IT.items() if module in modules}
    assert other_imports(module) & THE_WORLD == spoken_of


def test_no_clock_is_read_where_times_are_spelled() -> None:
    called = {
        node.attr for node in ast.walk(TREES["logs.timestamps"]) if isinstance(node, ast.Attribute)
    }
    assert called & {"now", "utcnow", "today"} == set()


def test_of_the_world_only_the_variable_that_chooses_the_build_is_read() -> None:
    assert attributes_of("compiled.twins", "os") == {"environ"}
    assert ast.unparse(TREES["compiled.twins"]).count("os.environ.get('FIREZONE_FILTER_PURE'") == 1


@pytest.mark.parametrize("module", CORE)
def test_the_core_neither_opens_nor_prints_nor_runs_anything(module: str) -> None:
    assert calls(module) & WORLDLY_CALLS == set()


@pytest.mark.parametrize("module", CORE)
def test_the_core_depends_on_nothing_undeclared(module: str) -> None:
    declared = ANYWHERE | KNOWN_BY.keys() | sys.stdlib_module_names
    assert other_imports(module) <= declared


@pytest.mark.parametrize(("dependency", "known_by"), KNOWN_BY.items(), ids=KNOWN_BY.keys())
def test_one_module_of_the_core_at_most_knows_each_dependency(
    dependency: str, known_by: set[str]
) -> None:
    assert {module for module in CORE if dependency in other_imports(module)} == known_by


@pytest.mark.parametrize("module", COMMANDS)
def test_the_command_line_knows_no_radix_tree(module: str) -> None:
    assert "radix" not in other_imports(module)


def test_packet_by_packet_captures_are_read_without_numpy() -> None:
    without = {"", "damage", "extras", "formats", "link", "payload", "pcap", "pcapng"}
    without |= {"compression", "reader", "stream"}
    for module in (name for name in TREES if room(name) == "capture"):
        if module.removeprefix("capture").removeprefix(".") in without:
            assert "numpy" not in other_imports(module)


def test_one_module_knows_libpcap() -> None:
    # By its name, since it is imported when a filter is asked for.
    knowing = {name for name in TREES if "'cypcap'" in ast.unparse(TREES[name])}
    assert knowing == {"capture.packet_filter"}


@pytest.mark.parametrize(
    "module", [name for name in COMMANDS if room(name) not in {"cli", "host"}]
)
def test_only_the_command_line_and_the_host_print(module: str) -> None:
    assert other_imports(module) & {"click", "rich"} == set()
    assert calls(module) & WORLDLY_CALLS == set()


def test_of_the_library_few_modules_open_files() -> None:
    world = {"os", "pathlib", "sys"}
    modules = [name for name in COMMANDS if room(name) in {"capture", "replay"}]
    # Workers give way to the reader.
    niced = {"replay.partitions.processes"}
    assert {name for name in modules if other_imports(name) & world} == OPENING | niced
    assert {name for name in modules if "open" in attribute_names(name)} - {
        "capture.locations",
        "capture.part",
    } <= OPENING


@pytest.mark.parametrize("module", [name for name in COMMANDS if room(name) == "replay"])
def test_what_an_extra_brings_is_imported_when_it_is_used(module: str) -> None:
    heavy = {"pandas", "duckdb", "backports"}
    assert other_imports(module) & heavy == set()
    assert ("pyarrow" in other_imports(module)) <= (module in ARROW)


@pytest.mark.parametrize("module", FOR_TESTS)
def test_what_is_for_tests_needs_hypothesis_and_the_world_neither(module: str) -> None:
    declared = ANYWHERE | {"hypothesis"} | sys.stdlib_module_names
    assert other_imports(module) <= declared - THE_WORLD
    assert calls(module) & WORLDLY_CALLS == set()


@pytest.mark.parametrize("module", FOR_TESTS)
def test_of_the_core_tests_need_the_public_names_and_the_bytes(module: str) -> None:
    others = own_imports(module) - {"structures.attribute_docs"}
    assert {room(name) for name in others} <= {"", "packet", TESTING}


@pytest.mark.parametrize("module", COMMANDS)
def test_only_reports_know_how_to_draw_and_that_is_imported_when_asked_for(module: str) -> None:
    drawing = {"report.page", "report.drawing"}
    known = other_imports(module) & {"matplotlib", "jinja2", "markupsafe"}
    assert bool(known) is (module in drawing)
    at_once = {
        name
        for statement in TREES[module].body
        for name in ([statement.module] if isinstance(statement, ast.ImportFrom) else [])
        if name is not None
    }
    if module not in drawing:
        assert not at_once & {f"{PACKAGE}.{name}" for name in drawing}


@pytest.mark.parametrize("module", ["__main__", "cli", "cli.__main__"])
def test_what_runs_without_the_extra_imports_none_of_it_at_once(module: str) -> None:
    assert other_imports(module) & {"click", "rich", "dpkt"} == set()

"""Domain names and patterns: which there are, and what a pattern matches."""

import re
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from firezone_filter.values.domains import MAX_NAME, DomainPattern, to_domain
from firezone_filter.values.errors import InvalidPolicy

LABEL_63 = "a" * 63
LABEL_64 = "a" * 64
NAME_253 = ".".join([LABEL_63, LABEL_63, LABEL_63, "a" * 61])
NAME_254 = ".".join([LABEL_63, LABEL_63, LABEL_63, "a" * 62])
KELVIN = "\u212a"  # becomes an ASCII k in lower case
LONG_S = "\u017f"  # becomes an ASCII s in upper case
ARABIC_THREE = "\u0663"

NO_NAMES = [
    pytest.param("", id="empty"),
    pytest.param(".", id="root"),
    pytest.param("..", id="two dots"),
    pytest.param(".example.com", id="leading dot"),
    pytest.param("example..com", id="empty label"),
    pytest.param("example.com..", id="two final dots"),
    pytest.param("exam ple.com", id="space"),
    pytest.param("example.com\n", id="line feed"),
    pytest.param("exam/ple.com", id="slash"),
    pytest.param("example.com:443", id="port"),
    pytest.param("[a].com", id="brackets"),
    pytest.param("a+b.com", id="plus"),
    pytest.param("a\x00b.com", id="NUL"),
    pytest.param("b\u00fccher.example", id="umlaut"),
    pytest.param(f"{KELVIN}.example", id="Kelvin sign"),
    pytest.param(f"{LONG_S}.example", id="long s"),
    pytest.param(f"{ARABIC_THREE}.example", id="digit of another script"),
    pytest.param("example\u3002com", id="ideographic full stop"),
    pytest.param(LABEL_64, id="label of 64"),
    pytest.param(f"www.{LABEL_64}.com", id="label of 64 inside"),
    pytest.param(NAME_254, id="254 characters"),
    pytest.param(NAME_254 + ".", id="254 characters and a final dot"),
]

# --- Names -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("example.com", "example.com", id="as it is"),
        pytest.param("GitLab.Example.COM", "gitlab.example.com", id="upper case"),
        pytest.param("example.com.", "example.com", id="final dot"),
        pytest.param("localhost", "localhost", id="one label"),
        pytest.param("a", "a", id="one character"),
        pytest.param("_sip._tcp.example.com", "_sip._tcp.example.com", id="underscore"),
        pytest.param("XN--BCHER-KVA.example", "xn--bcher-kva.example", id="other script"),
        pytest.param("-a-.example", "-a-.example", id="hyphens outside"),
        pytest.param("10.0.0.1", "10.0.0.1", id="digits"),
        pytest.param(LABEL_63, LABEL_63, id="label of 63"),
        pytest.param(NAME_253, NAME_253, id="253 characters"),
        pytest.param(NAME_253 + ".", NAME_253, id="253 characters and a final dot"),
    ],
)
def test_a_name_is_kept_in_lower_case_without_final_dot(text: str, name: str) -> None:
    assert to_domain(text) == name


@pytest.mark.parametrize("text", NO_NAMES)
def test_texts_that_are_not_names_are_refused(text: str) -> None:
    with pytest.raises(InvalidPolicy):
        to_domain(text)


@pytest.mark.parametrize("text", ["*.example.com", "host-?.example.com", "**", "ex*mple.com"])
def test_a_pattern_is_not_a_name(text: str) -> None:
    with pytest.raises(InvalidPolicy):
        to_domain(text)


@pytest.mark.parametrize("convert", [to_domain, DomainPattern.parse])
@pytest.mark.parametrize("value", [None, b"example.com", 1, ["example.com"]])
def test_a_name_or_pattern_of_another_type_is_a_type_error(
    convert: Callable[[object], object], value: object
) -> None:
    with pytest.raises(TypeError):
        convert(value)


def test_the_error_has_the_name_as_it_was_handed_in() -> None:
    with pytest.raises(InvalidPolicy) as caught:
        to_domain("Example..COM.")
    assert caught.value.value == "Example..COM."


def test_a_name_has_at_most_253_characters() -> None:
    assert MAX_NAME == len(NAME_253) == len(NAME_254) - 1


# --- Patterns ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *NO_NAMES,
        pytest.param("***", id="three stars"),
        pytest.param("***.example.com", id="three stars and a name"),
        pytest.param("a**.example.com", id="two stars behind a letter"),
        pytest.param("**a.example.com", id="two stars before a letter"),
        pytest.param("a**b.example.com", id="two stars inside"),
        pytest.param("?**.example.com", id="two stars behind a question mark"),
        pytest.param("*a**.example.com", id="two stars behind a star"),
        pytest.param("[ab].example.com", id="character class"),
        pytest.param("{a,b}.example.com", id="alternatives"),
        pytest.param("\\*.example.com", id="escape"),
        pytest.param("!a.example.com", id="exclamation mark"),
        pytest.param("**." + LABEL_64, id="two stars and a label of 64"),
        pytest.param("*" + LABEL_63, id="star and 63"),
        pytest.param("?" * 64, id="64 question marks"),
        pytest.param("*." + NAME_253[1:], id="254 characters with a star"),
    ],
)
def test_texts_that_are_not_patterns_are_refused(text: str) -> None:
    with pytest.raises(InvalidPolicy):
        DomainPattern.parse(text)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        pytest.param("example.com", ("example", "com"), id="name"),
        pytest.param("**.Example.COM.", ("**", "example", "com"), id="lower case, no final dot"),
        pytest.param("*." + NAME_253[2:], ("*", *NAME_253[2:].split(".")), id="253 characters"),
        pytest.param("*" + "a" * 62, ("*" + "a" * 62,), id="star and 62"),
        pytest.param("a*b*c", ("a*b*c",), id="stars apart"),
        pytest.param("*?*", ("*?*",), id="stars around a question mark"),
    ],
)
def test_a_pattern_is_read_label_by_label(text: str, labels: tuple[str, ...]) -> None:
    assert DomainPattern.parse(text).labels == labels


# Pattern, names that match it, names that do not.
PATTERNS = [
    # A plain name matches only itself.
    ("example.com", "example.com", "www.example.com example.org com examplexcom example.com.evil"),
    ("Example.COM.", "example.com", ""),
    ("localhost", "localhost", ""),
    # `?` matches one character within a label.
    (
        "host-?.example.com",
        "host-1.example.com host--.example.com",
        "host-.example.com host-12.example.com",
    ),
    ("??.example.com", "ab.example.com", ""),
    ("?", "a", "aa a.a"),
    ("host?example.com", "", "host.example.com"),
    ("?.example.com", "", "example.com"),
    ("??", "", "a"),
    # `*` matches any run of characters within a label, also an empty one.
    (
        "host-*.example.com",
        "host-.example.com host-12.example.com",
        "host.example.com host-1.a.example.com",
    ),
    ("*-db.example.com", "eu-db.example.com -db.example.com", "db.example.com"),
    ("a*c.example.com", "abc.example.com acbc.example.com", "ab.example.com"),
    ("a*b*c.example.com", "abbc.example.com", "acc.example.com"),
    ("*?.example.com", "a.example.com", "example.com"),
    ("?*.example.com", "abc.example.com", "example.com"),
    ("www.*.com", "www.example.com", "www.com www.a.b.com"),
    ("example.*", "example.com", "example example.co.uk"),
    ("*", "localhost", "a.b"),
    ("a*.example.com", "", "example.com"),
    ("*a.example.com", "", "example.com"),
    ("*example.com", "", "a.example.com"),
    # A leading `*.` matches the bare name too.
    (
        "*.example.com",
        "a.example.com example.com",
        "a.b.example.com notexample.com com a.example.com.evil",
    ),
    ("*.com", "com", ""),
    ("*.*.com", "a.b.com b.com", "com a.b.c.com"),
    # `**`, as a whole label, matches any number of labels, also none.
    ("*.**", "a", ""),
    ("*.**.com", "com", ""),
    ("*.a.**", "a.b", ""),
    ("**", "a a.b.c", ""),
    (
        "**.example.com",
        "example.com a.example.com a.b.c.example.com example.com.example.com",
        "com notexample.com example.com.evil",
    ),
    ("www.**", "www www.example.com", "wwww a.www"),
    ("www.**.com", "www.com www.a.com www.a.com.b.com", "www www.com.evil"),
    ("**.**", "a", ""),
    ("**.*", "a a.b", ""),
    ("**.?", "aa.b", "a.bb"),
    ("**.a.**", "a b.a.c", "b.c"),
    ("**.a.**.b", "a.b c.a.d.a.b.b", "b.a b"),
]


@pytest.mark.parametrize(("pattern", "matching", "others"), PATTERNS)
def test_a_pattern_matches_its_names_and_no_others(
    pattern: str, matching: str, others: str
) -> None:
    matches = DomainPattern.parse(pattern).matches
    assert [name for name in matching.split() if not matches(name)] == []
    assert [name for name in others.split() if matches(name)] == []


def test_patterns_that_differ_in_case_or_final_dot_are_equal() -> None:
    assert DomainPattern.parse("*.Example.COM.") == DomainPattern.parse("*.example.com")


# --- Against a model that shares no code -------------------------------------------------


def model(pattern: str, name: str) -> bool:
    """Translate the pattern into a regular expression over labels that each end in a dot."""
    read = {"*": "[a-z0-9_-]*", "?": "[a-z0-9_-]"}
    labels = [
        r"(?:[a-z0-9_-]+\.)*"
        if label == "**"
        else "(?=[a-z0-9_-])" + "".join(read.get(c, re.escape(c)) for c in label) + r"\."
        for label in pattern.split(".")
    ]
    bare = labels[1:] if pattern.startswith("*.") else labels
    subject = name + "."
    return any(re.fullmatch("".join(form), subject) for form in (labels, bare))


names = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=5).map(".".join)
patterns = st.lists(
    st.just("**") | st.text("ab*?", min_size=1, max_size=4).filter(lambda text: "**" not in text),
    min_size=1,
    max_size=5,
).map(".".join)


@given(pattern=patterns, name=names)
@example(pattern="*", name="a")
@example(pattern="**.a", name="a.a.a")
@example(pattern="a*.**", name="a")
def test_a_pattern_matches_as_the_model_says(pattern: str, name: str) -> None:
    assert DomainPattern.parse(pattern).matches(name) == model(pattern, name)


@given(name=names)
def test_a_name_as_a_pattern_matches_itself(name: str) -> None:
    assert DomainPattern.parse(name).matches(name)


# Each of these takes a matcher that tries every way practically forever.
@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        pytest.param("*a" * 31 + "b", "a" * 63, id="stars within a label"),
        pytest.param("?*" * 31 + "b", "a" * 63, id="stars and question marks"),
        pytest.param("**.a." * 42 + "b", ".".join("a" * 127), id="stars for labels"),
        pytest.param("**.*." * 42 + "b", ".".join("a" * 127), id="both"),
        pytest.param("**." * 84 + "b", ".".join("a" * 127), id="stars for labels in a row"),
        pytest.param(
            "**." + "*a" * 31 + ".b", ".".join([LABEL_63] * 3), id="stars within and for labels"
        ),
    ],
)
def test_no_pattern_takes_long(pattern: str, name: str) -> None:
    assert not DomainPattern.parse(pattern).matches(name)

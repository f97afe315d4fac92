import re

import pytest
from attrs.exceptions import FrozenInstanceError
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
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidPolicy):
        to_domain(text)


@pytest.mark.parametrize("text", ["*.example.com", "host-?.example.com", "**", "ex*mple.com"])
def test_a_pattern_is_no_name(text: str) -> None:
    with pytest.raises(InvalidPolicy):
        to_domain(text)


@pytest.mark.parametrize("value", [None, b"example.com", 1, ["example.com"]])
def test_a_name_of_another_type_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError):
        to_domain(value)  # type: ignore[arg-type]


def test_the_error_carries_the_name_as_it_was_handed_in() -> None:
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
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(InvalidPolicy):
        DomainPattern.parse(text)


@pytest.mark.parametrize("value", [None, b"*.example.com", 1, ["*"]])
def test_a_pattern_of_another_type_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError):
        DomainPattern.parse(value)  # type: ignore[arg-type]


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


MATCHING = [
    # A plain name matches only itself.
    ("example.com", "example.com"),
    ("Example.COM.", "example.com"),
    ("localhost", "localhost"),
    # `?` is one character within a label.
    ("host-?.example.com", "host-1.example.com"),
    ("host-?.example.com", "host--.example.com"),
    ("??.example.com", "ab.example.com"),
    ("?", "a"),
    # `*` is any run of characters within a label, also none.
    ("host-*.example.com", "host-.example.com"),
    ("host-*.example.com", "host-12.example.com"),
    ("*-db.example.com", "eu-db.example.com"),
    ("*-db.example.com", "-db.example.com"),
    ("a*c.example.com", "abc.example.com"),
    ("a*c.example.com", "acbc.example.com"),
    ("a*b*c.example.com", "abbc.example.com"),
    ("*?.example.com", "a.example.com"),
    ("?*.example.com", "abc.example.com"),
    ("www.*.com", "www.example.com"),
    ("example.*", "example.com"),
    ("*", "localhost"),
    # A leading `*.` also matches the bare name.
    ("*.example.com", "a.example.com"),
    ("*.example.com", "example.com"),
    ("*.com", "com"),
    ("*.*.com", "a.b.com"),
    ("*.*.com", "b.com"),
    ("*.**", "a"),
    ("*.**.com", "com"),
    ("*.a.**", "a.b"),
    # `**` as a whole label is any number of labels including none.
    ("**", "a"),
    ("**", "a.b.c"),
    ("**.example.com", "example.com"),
    ("**.example.com", "a.example.com"),
    ("**.example.com", "a.b.c.example.com"),
    ("**.example.com", "example.com.example.com"),
    ("www.**", "www"),
    ("www.**", "www.example.com"),
    ("www.**.com", "www.com"),
    ("www.**.com", "www.a.com"),
    ("www.**.com", "www.a.com.b.com"),
    ("**.**", "a"),
    ("**.*", "a"),
    ("**.*", "a.b"),
    ("**.?", "aa.b"),
    ("**.a.**", "a"),
    ("**.a.**", "b.a.c"),
    ("**.a.**.b", "a.b"),
    ("**.a.**.b", "c.a.d.a.b.b"),
]
NOT_MATCHING = [
    ("example.com", "www.example.com"),
    ("example.com", "example.org"),
    ("example.com", "com"),
    ("example.com", "examplexcom"),
    ("example.com", "example.com.evil"),
    ("host-?.example.com", "host-.example.com"),
    ("host-?.example.com", "host-12.example.com"),
    ("host?example.com", "host.example.com"),
    ("?.example.com", "example.com"),
    ("??", "a"),
    ("?", "aa"),
    ("?", "a.a"),
    ("host-*.example.com", "host.example.com"),
    ("host-*.example.com", "host-1.a.example.com"),
    ("*-db.example.com", "db.example.com"),
    ("a*c.example.com", "ab.example.com"),
    ("a*b*c.example.com", "acc.example.com"),
    ("a*.example.com", "example.com"),
    ("*a.example.com", "example.com"),
    ("?*.example.com", "example.com"),
    ("*?.example.com", "example.com"),
    ("*example.com", "a.example.com"),
    ("www.*.com", "www.com"),
    ("www.*.com", "www.a.b.com"),
    ("example.*", "example"),
    ("example.*", "example.co.uk"),
    ("*", "a.b"),
    ("*.example.com", "a.b.example.com"),
    ("*.example.com", "notexample.com"),
    ("*.example.com", "com"),
    ("*.example.com", "a.example.com.evil"),
    ("*.*.com", "com"),
    ("*.*.com", "a.b.c.com"),
    ("**.example.com", "com"),
    ("**.example.com", "notexample.com"),
    ("**.example.com", "example.com.evil"),
    ("www.**", "wwww"),
    ("www.**", "a.www"),
    ("www.**.com", "www"),
    ("www.**.com", "www.com.evil"),
    ("**.?", "a.bb"),
    ("**.a.**", "b.c"),
    ("**.a.**.b", "b.a"),
    ("**.a.**.b", "b"),
]


@pytest.mark.parametrize(("pattern", "name"), MATCHING)
def test_a_pattern_matches(pattern: str, name: str) -> None:
    assert DomainPattern.parse(pattern).matches(name)


@pytest.mark.parametrize(("pattern", "name"), NOT_MATCHING)
def test_a_pattern_does_not_match(pattern: str, name: str) -> None:
    assert not DomainPattern.parse(pattern).matches(name)


def test_patterns_that_differ_in_case_or_final_dot_are_equal() -> None:
    assert DomainPattern.parse("*.Example.COM.") == DomainPattern.parse("*.example.com")


def test_a_pattern_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        DomainPattern.parse("a").labels = ()  # type: ignore[misc]


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


# Each of these takes a matcher that tries every way longer than anybody waits.
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
def test_a_pattern_made_to_take_long_ends(pattern: str, name: str) -> None:
    assert not DomainPattern.parse(pattern).matches(name)

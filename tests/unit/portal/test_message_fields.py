"""Keys, tokens and secrets of messages: their form is checked, and secrets are not quoted."""

import pytest

from tests.portal import ALICE, CREATE, fault_of, message, segment, session, token

CLAIMS = segment({})
HS256 = segment({"alg": "HS256"})

NOT_KEYS = {
    "short": "AAAA",
    "empty": "",
    "not ASCII": "é" * 44,
    "31 bytes": "A" * 43,
    "33 bytes": "A" * 44,
    "bits after the last byte": "A" * 42 + "B=",
    "characters that Python skips": "-" * 43 + "=",
}


@pytest.mark.parametrize("text", NOT_KEYS.values(), ids=NOT_KEYS.keys())
def test_a_key_is_32_bytes_in_base64(text: str) -> None:
    fault = "is not base64 of 32 bytes"
    assert fault_of(message(CREATE, **{"client.public_key": text})).faults == (
        f"payload.client.public_key: {text!r} {fault}",
    )
    assert fault_of(message(CREATE, **{"client.preshared_key": text})).faults == (
        f"payload.client.preshared_key: a text of {len(text)} characters {fault}",
    )


NOT_TOKENS = {
    "empty": "",
    "no signature": f"{HS256}.{CLAIMS}",
    "an empty signature": f"{HS256}.{CLAIMS}.",
    "a fourth part": f"{HS256}.{CLAIMS}.c2ln.c2ln",
    "empty claims": f"{HS256}..c2ln",
    "an empty header": f".{CLAIMS}.c2ln",
    "an impossible length": f"{HS256}.{CLAIMS}.c2lnb",
    "padding": f"{HS256}.{CLAIMS}.c2l=",
    "the other base64": f"{HS256}.{CLAIMS}.c2/n",
    "another script": f"{HS256}.{CLAIMS}.\u0441",
    "a line feed": f"{HS256}.{CLAIMS}.c2ln\n",
    "no algorithm": token(header={"typ": "JWT"}),
    "algorithm none": token(header={"alg": "none"}),
    "algorithm in lower case": token(header={"alg": "hs256"}),
    "algorithms": token(header={"alg": ["HS256"]}),
    "a list as header": token(header=["alg", "HS256"]),
    "a list as claims": token(claims=[]),
    "a header that is not JSON": f"AAAA.{CLAIMS}.c2ln",
    "claims that are not JSON": f"{HS256}.AAAA.c2ln",
}


@pytest.mark.parametrize("text", NOT_TOKENS.values(), ids=NOT_TOKENS.keys())
def test_a_token_is_signed_with_hs256_and_never_quoted(text: str) -> None:
    place, shown = "payload.flow_logs_ingest_token", f"a text of {len(text)} characters"
    assert fault_of(message(CREATE, flow_logs_ingest_token=text)).faults == (
        f"{place}: {shown} is not a token signed with HS256",
    )


@pytest.mark.parametrize("length", range(1, 7))
def test_a_token_may_have_any_length(length: int) -> None:
    told, _ = session(message(CREATE, flow_logs_ingest_token=token(claims={"x": "x" * length})))
    assert ALICE in told


@pytest.mark.parametrize(
    "field",
    [
        "client.preshared_key",
        "client_ice_credentials",
        "flow_logs_ingest_token",
        "gateway_ice_credentials",
    ],
)
def test_a_secret_in_the_wrong_form_is_not_quoted(field: str) -> None:
    error = fault_of(message(CREATE, **{field: "geheim"}))
    assert error.faults[0].startswith(f"payload.{field}: a text")
    assert "geheim" not in f"{error} {error.value!r} {error.__cause__!r}"

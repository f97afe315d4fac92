"""JSON values as text, as jq writes them (`jq -r`, string interpolation).

Numbers look as in jq 1.6, except that integers keep all their digits, as in jq 1.7 and later.
"""

import json
import math
from typing import Final

_LARGEST: Final = "1.7976931348623157e+308"
_PLAIN_ZEROS: Final = 15
"""The most zeros that jq appends to the digits of a large number before it uses an exponent."""


def to_text(value: object) -> str:
    """Return *value* as jq interpolates it: a string as it is, everything else as JSON."""
    return value if isinstance(value, str) else to_json(value)


def to_json(value: object) -> str:
    """Return *value* as compact JSON."""
    if isinstance(value, str):
        # The one character that jq escapes and Python does not.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f")
    if isinstance(value, dict):
        return "{" + ",".join(f"{to_json(k)}:{to_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(to_json, value)) + "]"
    return _float(value) if isinstance(value, float) else json.dumps(value)


def _float(value: float) -> str:
    if math.isnan(value):
        return "null"
    if math.isinf(value):
        return _LARGEST if value > 0 else f"-{_LARGEST}"
    number, _, exponent = repr(value).partition("e")
    digits = number.replace(".", "").lstrip("-")
    if exponent and len(digits) <= int(exponent) + 1 <= len(digits) + _PLAIN_ZEROS:
        sign = "-" if value < 0 else ""
        return sign + digits.ljust(int(exponent) + 1, "0")
    return repr(value).removesuffix(".0")

"""Damaged JSON documents: a few fields replaced, removed or added."""

import copy
from typing import Any, TypeAlias

from hypothesis import strategies as st

Json: TypeAlias = Any


@st.composite
def damaged(
    draw: st.DrawFn,
    whole: st.SearchStrategy[Json],
    names: list[str],
    anything: st.SearchStrategy[Json],
) -> Json:
    """Draw a document with one to three damages.

    Args:
        draw: draws.
        whole: documents without damage.
        names: of fields that are added.
        anything: what is put in the place of something.
    """
    document: Json = {"": copy.deepcopy(draw(whole))}
    for _ in range(draw(st.integers(1, 3))):
        _damage(draw, document, names, anything)
    return document.get("")


def _damage(
    draw: st.DrawFn, inside: Json, names: list[str], anything: st.SearchStrategy[Json]
) -> None:
    """Walk down to some place and put something else there, or nothing."""
    while True:
        step = draw(st.sampled_from([*inside] if isinstance(inside, dict) else range(len(inside))))
        if not isinstance(inside[step], dict | list) or not inside[step] or draw(st.booleans()):
            break
        inside = inside[step]
    match draw(st.sampled_from(["replace", "remove", "add"])):
        case "remove" if len(inside) > 1:
            del inside[step]
        case "add" if isinstance(inside, dict):
            inside[draw(st.sampled_from(names))] = draw(anything)
        case _:
            inside[step] = draw(anything)

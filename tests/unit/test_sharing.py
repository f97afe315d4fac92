"""What is costly to make is made once, and kept for as long as anybody uses it."""

from firezone_filter.structures.interning import Shared


class Made:
    """Something costly."""

    def __init__(self, key: tuple[int, ...]) -> None:
        self.key = key


def test_a_value_is_made_from_its_key() -> None:
    assert Shared(Made)((1, 2)).key == (1, 2)


def test_equal_keys_share_one_value() -> None:
    shared = Shared(Made)
    one = shared((1, 2))
    assert shared(tuple(range(1, 3))) is one


def test_different_keys_have_different_values() -> None:
    shared = Shared(Made)
    one = shared((1, 2))
    assert shared((2, 1)) is not one


def test_a_value_is_kept_while_one_of_its_users_is_left() -> None:
    shared = Shared(Made)
    users = [shared((1,)), shared((1,))]
    users.pop()
    assert (1,) in shared


def test_a_value_is_let_go_with_the_last_of_its_users() -> None:
    shared = Shared(Made)
    users = [shared((1,)), shared((1,))]
    users.clear()
    assert (1,) not in shared


def test_a_value_that_was_let_go_is_made_anew() -> None:
    keys: list[tuple[int, ...]] = []

    def make(key: tuple[int, ...]) -> Made:
        keys.append(key)
        return Made(key)

    shared = Shared(make)
    shared((1,))
    shared((1,))
    assert keys == [(1,), (1,)]


def test_what_was_never_asked_for_is_not_there() -> None:
    assert (1,) not in Shared(Made)

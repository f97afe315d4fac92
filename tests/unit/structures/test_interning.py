"""`Interned`: one value for each key, for as long as anybody uses it."""

from firezone_filter.structures.interning import Interned


class Made:
    """Something costly."""

    def __init__(self, key: tuple[int, ...]) -> None:
        self.key = key


def test_equal_keys_share_one_value_and_different_keys_do_not() -> None:
    interned = Interned(Made)
    one, other = interned((1, 2)), interned((2, 1))
    assert (one.key, other.key) == ((1, 2), (2, 1))
    assert interned(tuple(range(1, 3))) is one


def test_a_value_lives_as_long_as_the_last_of_its_users() -> None:
    interned = Interned(Made)
    assert (1,) not in interned
    users = [interned((1,)), interned((1,))]
    users.pop()
    assert (1,) in interned
    users.clear()
    assert (1,) not in interned


def test_a_value_without_users_is_made_anew() -> None:
    keys: list[tuple[int, ...]] = []

    def make(key: tuple[int, ...]) -> Made:
        keys.append(key)
        return Made(key)

    interned = Interned(make)
    interned((1,))
    interned((1,))
    assert keys == [(1,), (1,)]

"""A generation number: invalidates any number of prepared objects at once."""


class Generation:
    """Counts how often something has changed that prepared objects depend on.

    Each of them keeps the number that it was made at, and is out of date at any other. To
    find and remove them one by one would cost as much as there are.
    """

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0

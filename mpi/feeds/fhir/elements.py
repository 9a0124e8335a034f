"""
Elements of a resource in JSON, each with its FHIRPath: what is wrong is told by it, never by a value.

Source: FHIR R4 json.html, datatypes.html.
"""

from collections.abc import Collection
from typing import Any, Self

from mpi.errors import InvalidIdentity
from mpi.identity.tabular import text_of

MAX_ITEMS = 200
"""Repetitions of one element; nobody has as many names."""


class Element:
    """
    One object of a resource.

    Raises:
        InvalidIdentity: it is no object. So does every reader below, for an element of the wrong type.
    """

    __slots__ = ("_value", "path")

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise InvalidIdentity(path, "expected an object")
        self._value: dict[str, Any] = value
        self.path = path

    def has(self, name: str) -> bool:
        """Whether an element of that name is there."""
        return self._value.get(name) is not None

    def text(self, name: str) -> str:
        """A string, trimmed; empty when it is missing."""
        return self._text(self._value.get(name), f"{self.path}.{name}")

    def texts(self, name: str) -> tuple[str, ...]:
        """The strings of a list, those that are there; an array may hold null where only an extension is."""
        path = f"{self.path}.{name}"
        found = (self._text(item, f"{path}[{at}]") for at, item in enumerate(self._list(name)))
        return tuple(text for text in found if text)

    def code(self, name: str, allowed: Collection[str]) -> str:
        """A code of a required value set; empty when it is missing."""
        code = self.text(name)
        if code and code not in allowed:
            raise InvalidIdentity(f"{self.path}.{name}", f"expected one of {', '.join(sorted(allowed))}")
        return code

    def flag(self, name: str) -> bool | None:
        """A boolean."""
        value = self._value.get(name)
        if value is not None and not isinstance(value, bool):
            raise InvalidIdentity(f"{self.path}.{name}", "expected true or false")
        return value

    def whole(self, name: str) -> int | None:
        """A whole number."""
        value = self._value.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise InvalidIdentity(f"{self.path}.{name}", "expected a whole number")
        return value

    def child(self, name: str) -> Self | None:
        """One object; None when it is missing."""
        return type(self)(self._value[name], f"{self.path}.{name}") if self.has(name) else None

    def items(self, name: str) -> tuple[Self, ...]:
        """The objects of a list."""
        path = f"{self.path}.{name}"
        return tuple(type(self)(item, f"{path}[{at}]") for at, item in enumerate(self._list(name)))

    def extensions(self, url: str) -> tuple[Self, ...]:
        """Those of that address, with or without a version."""
        return tuple(each for each in self.items("extension") if each.text("url").partition("|")[0] == url)

    def _list(self, name: str) -> list[Any]:
        value = self._value.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise InvalidIdentity(f"{self.path}.{name}", "expected a list")
        if len(value) > MAX_ITEMS:
            raise InvalidIdentity(f"{self.path}.{name}", f"more than {MAX_ITEMS} repetitions")
        return value

    @staticmethod
    def _text(value: object, path: str) -> str:
        if value is not None and not isinstance(value, str):
            raise InvalidIdentity(path, "expected a text")
        return text_of(path, value)

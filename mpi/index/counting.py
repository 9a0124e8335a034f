"""Counting by id, for what reads the whole store in bounded memory."""

from array import array


class CountById:
    """A small count for each id, in two bytes each."""

    def __init__(self) -> None:
        self._counts = array("H")

    def __getitem__(self, id_: int) -> int:
        return self._counts[id_] if id_ < len(self._counts) else 0

    def add(self, id_: int, count: int = 1) -> None:
        """Count some more of an id, up to 65,535."""
        if id_ >= len(self._counts):
            self._counts.frombytes(bytes(self._counts.itemsize * (id_ + 1 - len(self._counts))))
        self._counts[id_] = min(self._counts[id_] + count, 0xFFFF)

    def __len__(self) -> int:
        return len(self._counts)

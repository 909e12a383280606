"""How often the bank was asked about each key since it started or its book was emptied."""

from collections import Counter
from typing import Any

from bank.faults import INQUIRY, TRANSFER

# Beyond this many keys only the totals go on, so that a long run cannot fill the memory.
MAX_KEYS = 1_000_000
_NAMES = {TRANSFER: "transfers", INQUIRY: "inquiries"}


class Counters:
    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._totals: Counter[str] = Counter()
        self._keys: dict[str, Counter[str]] = {kind: Counter() for kind in _NAMES}

    def count(self, kind: str, key: str) -> None:
        self._totals[kind] += 1
        keys = self._keys[kind]
        if key in keys or len(keys) < MAX_KEYS:
            keys[key] += 1

    def describe(self, key: str | None = None) -> dict[str, Any]:
        """The counts by key, of all keys or of one, and the totals of all."""
        description: dict[str, Any] = {
            "data": "requests",
            "totals": {name: self._totals[kind] for kind, name in _NAMES.items()},
        }
        for kind, name in _NAMES.items():
            keys = self._keys[kind]
            description[name] = dict(keys) if key is None else {key: keys[key]}
        return description

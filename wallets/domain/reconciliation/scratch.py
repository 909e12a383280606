"""The lines of a statement, put down in a temporary file so that none has to stay in memory.

An SQLite file of our own serves both databases alike, and a statement of millions of lines burdens
neither: there, a temporary table would not outlive a transaction behind a pooler.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from wallets.domain.reconciliation.lines import Line, LineType

_TABLE = """
    CREATE TABLE lines (
        number INTEGER PRIMARY KEY, type TEXT, key TEXT, reference TEXT, amount INTEGER,
        currency TEXT, paid_at TEXT
    )
"""
_INDEXES = (
    "CREATE INDEX by_key ON lines (type, key)",
    "CREATE INDEX by_reference ON lines (type, reference)",
)
# ``first``: the first line of the same key. ``rival``: a line of the same key that says something
# else. ``namesake``: a line of another key with the same reference. The plus sign keeps the planner
# from the indexes on type, by which it would sort all lines for every page.
_PAGE = """
    SELECT l.*,
           (SELECT min(o.number) FROM lines o WHERE o.type = l.type AND o.key = l.key) AS first,
           (SELECT min(o.number) FROM lines o WHERE o.type = l.type AND o.key = l.key
            AND (o.reference <> l.reference OR o.amount <> l.amount
                 OR o.currency <> l.currency)) AS rival,
           (SELECT min(o.number) FROM lines o WHERE o.type = l.type
            AND o.reference = l.reference AND o.key <> l.key) AS namesake
    FROM lines l WHERE +l.type = ? AND l.number > ? ORDER BY l.number LIMIT ?
"""
# A third of the time went into dataclasses.astuple, which copies deeply.
_ROW = attrgetter(*(field.name for field in fields(Line)))


@dataclass(frozen=True, slots=True)
class Placed:
    """A line among the others of its type; the numbers are those of other lines."""

    line: Line
    first: int
    rival: int | None
    namesake: int | None

    @property
    def is_repeated(self) -> bool:
        return self.first != self.line.number


class Scratch:
    """Use it as a context: the file goes with it."""

    def __init__(self) -> None:
        self._directory = TemporaryDirectory(prefix="wallet-statement-")
        self._lines = sqlite3.connect(Path(self._directory.name) / "lines.sqlite3")
        # Nothing here has to survive a crash.
        self._lines.execute("PRAGMA journal_mode=OFF")
        self._lines.execute("PRAGMA synchronous=OFF")
        self._lines.execute(_TABLE)

    def __enter__(self) -> "Scratch":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lines.close()
        self._directory.cleanup()

    def put(self, lines: Iterable[Line]) -> None:
        self._lines.executemany("INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?, ?)", map(_ROW, lines))

    def arrange(self) -> None:
        """Call once all lines are there, before anything is asked."""
        for index in _INDEXES:
            self._lines.execute(index)

    def count(self) -> int:
        return int(self._lines.execute("SELECT count(*) FROM lines").fetchone()[0])

    def pages(self, type: LineType, size: int) -> Iterator[list[Placed]]:
        """All lines of a type in their order, ``size`` at a time."""
        last = -1
        while rows := self._lines.execute(_PAGE, (type, last, size)).fetchall():
            yield [_placed(row) for row in rows]
            last = rows[-1][0]

    def keys_of_payments(self, keys: Sequence[str]) -> set[str]:
        """Which of these keys a payment's line names."""
        places = ", ".join("?" * len(keys))
        found = self._lines.execute(
            f"SELECT DISTINCT key FROM lines WHERE type = ? AND key IN ({places})",  # noqa: S608
            (LineType.PAYMENT, *keys),
        )
        return {key for (key,) in found}


def _placed(row: Sequence[object]) -> Placed:
    number, type, key, reference, amount, currency, paid_at, first, rival, namesake = row
    line = Line(number, LineType(type), key, reference, amount, currency, paid_at)  # type: ignore[arg-type]
    return Placed(line, first, rival, namesake)  # type: ignore[arg-type]

"""Rows as arrays, one for each column, which PostgreSQL's ``unnest`` turns into rows again.

Measured with batches of 100 rows: written out as array literals they cost a third of what a JSON
array of the same rows costs, on both sides, and a tenth of what the driver takes to adapt lists.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, get_args, get_type_hints

_SQL_TYPES = {
    int: "bigint[]",
    str: "text[]",
    bool: "boolean[]",
    datetime: "timestamptz[]",
    uuid.UUID: "uuid[]",
}


class RowArrays:
    def __init__(self, kind: type) -> None:
        """``kind``: a class with two fields or more, all of them annotated."""
        hints = get_type_hints(kind)
        self._names = list(hints)
        self._row = attrgetter(*self._names)
        self.types = [_SQL_TYPES[_without_none(hints[name])] for name in self._names]

    def table(self, first: int) -> str:
        """SQL for the rows, under the name ``x``, from the parameters ``$first`` and following.

        ``nth`` is a row's place among them.
        """
        places = ", ".join(f"${first + n}" for n in range(len(self._names)))
        return f"unnest({places}) WITH ORDINALITY AS x ({', '.join(self._names)}, nth)"

    def values(self, rows: Sequence[Any]) -> list[str]:
        columns = zip(*map(self._row, rows), strict=True)
        return [array(column) for column in columns] if rows else ["{}"] * len(self._names)


def _without_none(hint: Any) -> Any:
    return next((each for each in get_args(hint) if each is not type(None)), hint)


def array(values: Sequence[Any]) -> str:
    """The array's literal. The shortcuts are for what most columns of a batch look like."""
    if not values:
        return "{}"
    first = values[0]
    if values.count(first) == len(values):
        elements = [_element(first)] * len(values)
    elif type(first) is int and None not in values:
        elements = [str(value) for value in values]
    elif type(first) is str and (quoted := _plainly_quoted(values)):
        return quoted
    else:
        elements = [_element(value) for value in values]
    return "{" + ",".join(elements) + "}"


def _plainly_quoted(texts: Sequence[str | None]) -> str | None:
    """``None`` when one of them is missing, or has a character to be escaped."""
    if None in texts:
        return None
    inside = '","'.join(texts)  # type: ignore[arg-type]
    if "\\" in inside or inside.count('"') > 2 * (len(texts) - 1):
        return None
    return '{"' + inside + '"}'


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, datetime):
        return f'"{value.isoformat()}"'
    return str(value)

"""What a run found: values of a few rounds, and targets that they meet or miss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

Measured = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Values:
    """One number of one subject, a value for each round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.rounds)

    def as_json(self) -> dict[str, Any]:
        return {
            "median": self.median,
            "min": min(self.rounds),
            "max": max(self.rounds),
            "rounds": list(self.rounds),
        }


@dataclass(frozen=True, slots=True)
class Row:
    """One subject with its numbers, by name."""

    subject: str
    values: Mapping[str, Values]

    @classmethod
    def of(cls, subject: str, rounds: Sequence[Measured]) -> "Row":
        names = rounds[0].keys()
        return cls(subject, {name: Values(tuple(each[name] for each in rounds)) for name in names})


@dataclass(frozen=True, slots=True)
class Target:
    """``reached`` against ``bound``; ``at_least`` tells which side of the bound is good."""

    says: str
    reached: float
    bound: float
    at_least: bool = True
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.reached >= self.bound if self.at_least else self.reached <= self.bound

    def as_json(self) -> dict[str, Any]:
        return {
            "says": self.says,
            "reached": self.reached,
            "bound": self.bound,
            "at_least": self.at_least,
            "unit": self.unit,
            "met": self.met,
        }


@dataclass(slots=True)
class Table:
    """``columns``: the names of the numbers and what the heading calls them."""

    title: str
    columns: Mapping[str, str]
    rows: list[Row]
    # The number that is drawn, and how its axis is called; no plot where there is none.
    plot: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "columns": dict(self.columns),
            "plot": self.plot,
            "rows": [
                {
                    "subject": row.subject,
                    "values": {name: values.as_json() for name, values in row.values.items()},
                }
                for row in self.rows
            ],
        }


@dataclass(slots=True)
class CaseResult:
    case: str
    title: str
    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "case": self.case,
            "title": self.title,
            "tables": [table.as_json() for table in self.tables],
            "targets": [target.as_json() for target in self.targets],
            "notes": self.notes,
        }


def ratio(over: Sequence[Measured], under: Sequence[Measured], name: str) -> float:
    """The median of the rounds' own ratios: what slows a whole round down does not count."""
    return median(a[name] / b[name] for a, b in zip(over, under, strict=True))

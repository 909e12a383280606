"""What an audit found."""

from collections.abc import Mapping
from dataclasses import dataclass, field

# Ids, amounts and words, as they are printed and as they go into JSON.
Value = int | float | str | bool | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule, what was checked for it, and what broke it.

    ``counts`` and ``sums`` speak of everything that was checked; sums are in minor units, by
    currency where the rule keeps currencies apart, else under an empty name. ``shown`` holds the
    first of the ``violations``, each with the ids that name it.
    """

    rule: str
    sentence: str
    counts: Mapping[str, int]
    sums: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    violations: int = 0
    shown: tuple[Mapping[str, Value], ...] = ()
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        return self.violations == 0


@dataclass(frozen=True, slots=True)
class Report:
    findings: tuple[Finding, ...]

    @property
    def broken(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if not finding.holds)

    @property
    def violations(self) -> int:
        return sum(finding.violations for finding in self.findings)

    @property
    def right(self) -> bool:
        return not self.broken

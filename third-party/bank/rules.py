"""Which request meets which fault: the rules, in what order they count and how often."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bank.faults import FAULTS, Fault
from bank.payments import InvalidError, read_amount

MAX_RULES = 10_000
_MATCHABLE = frozenset({"key", "amount", "wallet_owner_ref", "currency"})
_FIELDS = frozenset({"match", "fault", "arg", "times", "probability", "on"})


@dataclass(slots=True)
class Rule:
    """``times`` is how often it still applies; None is always."""

    fault: Fault
    arg: Any
    on: str
    match: Mapping[str, Any] = field(default_factory=dict)
    probability: float = 1.0
    times: int | None = None
    given_arg: Any = None
    number: int = 0
    applied: int = 0

    def describe(self) -> dict[str, Any]:
        return {
            "id": self.number,
            "match": dict(self.match),
            "fault": self.fault.name,
            "arg": self.given_arg,
            "on": self.on,
            "probability": self.probability,
            "times_left": self.times,
            "applied": self.applied,
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """What a request meets: at most one fault, and any habits."""

    fault: Fault | None = None
    arg: Any = None
    habits: frozenset[str] = frozenset()


NOTHING = Choice()


class Rules:
    """Rules given while the bank runs count before those of the command line, else the order."""

    def __init__(self, standing: list[Rule], *, rng: random.Random) -> None:
        self._given: list[Rule] = []
        self._standing: list[Rule] = []
        self._rng = rng
        self._last_number = 0
        for rule in standing:
            self._number(rule)
            self._standing.append(rule)

    def add(self, rule: Rule) -> Rule:
        if len(self._given) >= MAX_RULES:
            self._given = [given for given in self._given if given.times != 0]
        if len(self._given) >= MAX_RULES:
            raise InvalidError(f"there are {MAX_RULES} rules already")
        self._number(rule)
        self._given.append(rule)
        return rule

    def clear(self) -> None:
        """All of them: from here on the bank behaves."""
        self._given.clear()
        self._standing.clear()

    def describe(self) -> list[dict[str, Any]]:
        return [rule.describe() for rule in (*self._given, *self._standing)]

    def choose(self, on: str, facts: Mapping[str, Any], *, is_paid: Callable[[], bool]) -> Choice:
        """Spends the rules it picks. ``facts`` are the matchable things known of the request."""
        if not self._given and not self._standing:
            return NOTHING
        chosen: Rule | None = None
        habits: set[str] = set()
        for rule in (*self._given, *self._standing):
            taken = rule.fault.name in habits if rule.fault.is_habit else chosen is not None
            if taken or not self._applies(rule, on, facts, is_paid):
                continue
            rule.applied += 1
            if rule.times is not None:
                rule.times -= 1
            if rule.fault.is_habit:
                habits.add(rule.fault.name)
            else:
                chosen = rule
        if chosen is None:
            return Choice(habits=frozenset(habits))
        return Choice(chosen.fault, chosen.arg, frozenset(habits))

    def _applies(
        self, rule: Rule, on: str, facts: Mapping[str, Any], is_paid: Callable[[], bool]
    ) -> bool:
        if rule.on != on or rule.times == 0:
            return False
        if any(facts.get(name) != value for name, value in rule.match.items()):
            return False
        if rule.fault.replays_only and not is_paid():
            return False
        # Drawn last, so that a seed gives the same run whatever other rules there are.
        return rule.probability >= 1 or self._rng.random() < rule.probability

    def _number(self, rule: Rule) -> None:
        self._last_number += 1
        rule.number = self._last_number


def make_rule(name: Any, arg: Any = None, *, on: Any = None, probability: Any = 1.0) -> Rule:
    """Raises ``InvalidError`` for what names no fault or gives it the wrong argument."""
    fault = FAULTS.get(name) if isinstance(name, str) else None
    if fault is None:
        raise InvalidError(f"there is no fault {name!r}; there are: {', '.join(FAULTS)}")
    if on is None:
        on = fault.on[0]
    if on not in fault.on:
        raise InvalidError(f"the fault {name} needs on: {' or '.join(fault.on)}")
    try:
        read = fault.argument.default if arg is None else fault.argument.read(arg)
    except ValueError as problem:
        raise InvalidError(f"the fault {name} {problem}") from problem
    return Rule(fault, read, on, probability=read_probability(probability), given_arg=arg)


def read_rule(fields: Mapping[str, Any]) -> Rule:
    """A rule as the control endpoint takes it. Raises ``InvalidError``."""
    if unknown := sorted(fields.keys() - _FIELDS):
        raise InvalidError(f"unknown: {', '.join(unknown)}; known: {', '.join(sorted(_FIELDS))}")
    rule = make_rule(
        fields.get("fault"),
        fields.get("arg"),
        on=fields.get("on"),
        probability=fields.get("probability", 1.0),
    )
    rule.match = _read_match(fields.get("match", {}))
    rule.times = _read_times(fields.get("times"))
    return rule


def read_probability(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidError("probability must be a number")
    if not 0 <= value <= 1:
        raise InvalidError("probability must be from 0 to 1")
    return float(value)


def _read_match(match: Any) -> dict[str, Any]:
    if not isinstance(match, dict) or not match.keys() <= _MATCHABLE:
        raise InvalidError(f"match must be an object with any of {', '.join(sorted(_MATCHABLE))}")
    for name, value in match.items():
        if name == "amount":
            read_amount(value)
        elif not isinstance(value, str) or not value:
            raise InvalidError(f"match.{name} must be a text")
    return match


def _read_times(times: Any) -> int | None:
    if times is None:
        return None
    if isinstance(times, bool) or not isinstance(times, int) or not 1 <= times <= 1_000_000:
        raise InvalidError("times must be a whole number from 1 to 1000000")
    return times

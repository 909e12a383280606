"""What a fault is given to work with, and the list of them all."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from proof.harness.databases import PostgresServer
from proof.harness.world import World, world
from scripts.postgres import EmbeddedPostgres

# What a fault reports when it was survived: how much of what.
Counts: TypeAlias = dict[str, int]


@dataclass(frozen=True, slots=True)
class Stage:
    """``full``: the size of a release's proof rather than of every change's."""

    server: PostgresServer
    scratch: Path
    seed: int
    full: bool = False

    def size(self, small: int, full: int) -> int:
        return full if self.full else small

    def random(self) -> random.Random:
        return random.Random(self.seed)

    def world(self, *, latency_ms: int = 0, **settings: str) -> AbstractContextManager[World]:
        # The audit costs the start of a process, which the small size saves where it can.
        return world(self.server, latency_ms=latency_ms, audits=self.full, **settings)

    @contextmanager
    def own_postgres(
        self, settings: Mapping[str, str] | None = None
    ) -> Iterator[tuple[EmbeddedPostgres, PostgresServer]]:
        """A server that may be killed, with PostgreSQL's own durability."""
        with EmbeddedPostgres(durable=True, settings=settings) as postgres:
            yield postgres, PostgresServer(postgres.dsn, self.scratch)


@dataclass(frozen=True, slots=True)
class Fault:
    number: int
    title: str
    name: str
    run: Callable[[Stage], Counts]


_faults: dict[int, Fault] = {}


def fault(
    number: int, title: str
) -> Callable[[Callable[[Stage], Counts]], Callable[[Stage], Counts]]:
    """List a function that raises ``BrokenPromiseError`` if the fault costs anybody money."""

    def register(run: Callable[[Stage], Counts]) -> Callable[[Stage], Counts]:
        _faults[number] = Fault(number, title, run.__name__, run)
        return run

    return register


def all_faults() -> list[Fault]:
    """In the order of their numbers; complete once ``proof.faults.catalogue`` is imported."""
    return [_faults[number] for number in sorted(_faults)]

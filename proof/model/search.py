"""Breadth first through every reachable state, so that the first wrong one is a nearest one."""

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

from proof.model.options import Options
from proof.model.world import World, Worlds

_NONE = -1
# States between two words about progress.
_PROGRESS = 20_000


@dataclass(slots=True)
class Found:
    """What a search came to. ``stuck``: states from which, with no further fault, not every
    withdrawal can end or come to wait for a person."""

    states: int = 0
    edges: int = 0
    depth: int = 0
    payouts: int = 0
    seconds: float = 0.0
    violation: str = ""
    trace: list[str] = field(default_factory=list)
    endings: dict[tuple[str, ...], int] = field(default_factory=dict)
    stuck: int = 0
    stuck_trace: list[str] = field(default_factory=list)


class _Visited:
    """The graph as flat arrays: a tuple of numbers a state would not fit into memory."""

    def __init__(self, start: World) -> None:
        self.index: dict[World, int] = {start: 0}
        self.worlds: list[World] = [start]
        self.parent = array("i", [_NONE])
        self.depth = array("i", [0])
        # Edges that need no fault, as (to, from) pairs for walking backwards.
        self.calm_to = array("i")
        self.calm_from = array("i")

    def meet(self, world: World, parent: int) -> int:
        index = self.index.get(world)
        if index is None:
            index = self.index[world] = len(self.worlds)
            self.worlds.append(world)
            self.parent.append(parent)
            self.depth.append(self.depth[parent] + 1)
        return index


def search(
    options: Options,
    *,
    liveness: bool = True,
    on_progress: Callable[[int], None] | None = None,
) -> Found:
    """Until the first wrong state, or until there are no more."""
    began = time.monotonic()
    worlds = Worlds(options)
    visited = _Visited(worlds.start())
    found = Found()
    at = 0
    while at < len(visited.worlds) and not found.violation:
        for edge in worlds.edges(visited.worlds[at]):
            found.edges += 1
            if edge.wrong:
                found.violation = edge.wrong
                found.trace = _trace(worlds, visited, at, edge.after)
                break
            to = visited.meet(edge.after, at)
            if liveness and not edge.fault and to != at:
                visited.calm_to.append(to)
                visited.calm_from.append(at)
        at += 1
        if on_progress and at % _PROGRESS == 0:
            on_progress(len(visited.worlds))
    found.states = len(visited.worlds)
    found.depth = max(visited.depth)
    found.payouts = worlds.payouts
    if liveness and not found.violation:
        _look_for_stuck(worlds, visited, found)
    found.seconds = time.monotonic() - began
    return found


def _look_for_stuck(worlds: Worlds, visited: _Visited, found: Found) -> None:
    size = len(visited.worlds)
    first, sources = _backwards(visited, size)
    reaches = bytearray(size)
    frontier = [index for index, world in enumerate(visited.worlds) if worlds.is_over(world)]
    for index in frontier:
        reaches[index] = 1
        ending = worlds.statuses(visited.worlds[index])
        found.endings[ending] = found.endings.get(ending, 0) + 1
    while frontier:
        index = frontier.pop()
        for source in sources[first[index] : first[index + 1]]:
            if not reaches[source]:
                reaches[source] = 1
                frontier.append(source)
    found.stuck = size - sum(reaches)
    if found.stuck:
        index = reaches.index(0)
        found.stuck_trace = _trace(worlds, visited, visited.parent[index], visited.worlds[index])


def _backwards(visited: _Visited, size: int) -> "tuple[array[int], array[int]]":
    """The calm edges by where they lead: ``sources[first[i]:first[i + 1]]`` lead to ``i``."""
    first = array("i", bytes(4 * (size + 1)))
    for to in visited.calm_to:
        first[to + 1] += 1
    for index in range(size):
        first[index + 1] += first[index]
    fill = array("i", first)
    sources = array("i", bytes(4 * len(visited.calm_to)))
    for to, source in zip(visited.calm_to, visited.calm_from, strict=True):
        sources[fill[to]] = source
        fill[to] += 1
    return first, sources


def _trace(worlds: Worlds, visited: _Visited, last: int, after: World) -> list[str]:
    """The steps from the start to ``last`` and from there to ``after``, under constant names."""
    path = [last]
    while visited.parent[path[-1]] != _NONE:
        path.append(visited.parent[path[-1]])
    path.reverse()
    goals = [visited.worlds[index] for index in path[1:]] + [after]
    lines, exchanged = [], False
    for index, goal in zip(path, goals, strict=True):
        edges = worlds.edges(visited.worlds[index])
        edge = next(edge for edge in edges if edge.after == goal)
        lines.append(_renamed(edge.text, edge.who) if exchanged else edge.text)
        exchanged ^= edge.swapped
    return lines


def _renamed(text: str, who: str) -> str:
    if not who:
        return text
    other = "B" if who == "A" else "A"
    return " ".join(other if word == who else word for word in text.split(" "))

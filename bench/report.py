"""Results as text for the terminal, as JSON, and as the measured part of the page."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.plots import bars
from bench.results import CaseResult, Table, Target, Values

_BEGIN = "<!-- measured: written by ./scripts/bench, do not edit below -->"
_END = "<!-- measured: end -->"


def as_json(
    machine: Mapping[str, str], how: Mapping[str, Any], results: Sequence[CaseResult]
) -> str:
    found = {
        "machine": dict(machine),
        "run": dict(how),
        "cases": [result.as_json() for result in results],
    }
    return json.dumps(found, indent=2) + "\n"


def as_text(result: CaseResult) -> str:
    lines = [f"\n{result.title}"]
    for table in result.tables:
        lines += ["", *_aligned(table)]
    lines += ["", *(f"  {_target(target)}" for target in result.targets)]
    lines += [f"  {note}" for note in result.notes]
    return "\n".join(lines)


def write_page(
    page: Path,
    plots: Path,
    machine: Mapping[str, str],
    how: Mapping[str, Any],
    results: Sequence[CaseResult],
) -> None:
    """Put the results between the markers of ``page``; what stands around them is kept."""
    plots.mkdir(parents=True, exist_ok=True)
    text = page.read_text() if page.exists() else f"# Performance\n\n{_BEGIN}\n{_END}\n"
    before, _, rest = text.partition(_BEGIN)
    after = rest.partition(_END)[2]
    body = "\n".join([*_preamble(machine, how), *_summary(results), *_cases(results, plots)])
    page.write_text(f"{before}{_BEGIN}\n\n{body}\n\n{_END}{after}")
    (plots / "results.json").write_text(as_json(machine, how, results))


def _preamble(machine: Mapping[str, str], how: Mapping[str, Any]) -> list[str]:
    return [
        *(f"- {name}: {value}" for name, value in machine.items()),
        f"- Run: {', '.join(f'{name} {value}' for name, value in how.items())}",
        "",
    ]


def _summary(results: Sequence[CaseResult]) -> list[str]:
    lines = ["| case | target | asked | reached | |", "| --- | --- | --- | --- | --- |"]
    for result in results:
        for target in result.targets:
            met = "met" if target.met else "**missed**"
            lines.append(
                f"| {result.title} | {target.says} | {_bound(target)} | {_reached(target)} "
                f"| {met} |"
            )
    return [*lines, ""]


def _cases(results: Sequence[CaseResult], plots: Path) -> list[str]:
    lines: list[str] = []
    for result in results:
        lines += [f"### {result.title}", ""]
        for number, table in enumerate(result.tables, 1):
            if table.plot is not None:
                name = f"{result.case}-{number}.svg"
                (plots / name).write_text(bars(table))
                lines += [f"![{table.title}](performance/{name})", ""]
            lines += [*_markdown(table), ""]
        lines += [*(f"- {_target(target)}" for target in result.targets)]
        lines += [*(f"- {note}" for note in result.notes), ""]
    return lines


def _target(target: Target) -> str:
    met = "met" if target.met else "MISSED"
    return f"{met}: {target.says}: {_reached(target)} (asked {_bound(target)})"


def _bound(target: Target) -> str:
    return f"{'≥' if target.at_least else '≤'} {_with_unit(target.bound, target.unit)}"


def _reached(target: Target) -> str:
    return _with_unit(target.reached, target.unit)


def _with_unit(number: float, unit: str) -> str:
    if unit == "%":
        return f"{number * 100:.0f} %"
    return f"{_plain(number)} {unit}".strip()


def _plain(number: float) -> str:
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}"


def _spread(values: Values) -> str:
    if len(values.rounds) == 1:
        return _plain(values.median)
    return f"{_plain(values.median)} [{_plain(min(values.rounds))}-{_plain(max(values.rounds))}]"


def _cells(table: Table) -> list[list[str]]:
    head = [table.title, *table.columns.values()]
    rows = [
        [
            row.subject,
            *(_spread(row.values[name]) if name in row.values else "" for name in table.columns),
        ]
        for row in table.rows
    ]
    return [head, *rows]


def _markdown(table: Table) -> list[str]:
    head, *rows = _cells(table)
    ruler = ["---"] * len(head)
    return [f"| {' | '.join(cells)} |" for cells in (head, ruler, *rows)]


def _aligned(table: Table) -> list[str]:
    cells = _cells(table)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  "
        + "  ".join(
            [cells_[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(cells_[1:], widths[1:], strict=True)]
        )
        for cells_ in cells
    ]

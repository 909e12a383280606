"""Bars with their spread, as SVG that needs no script, font or library."""

from xml.sax.saxutils import escape

from bench.results import Row, Table, Values

_WIDTH = 760
_LABELS = 300  # pixels for the names
_VALUES = 110  # pixels for the numbers behind the bars
_ROW = 30
_TOP = 44

# Readable on white and on a dark page alike.
_STYLE = """
    text { font: 13px system-ui, sans-serif; fill: #57606a; }
    .title { font-weight: 600; }
    .bar { fill: #4c8dd6; }
    .ours { fill: #2da44e; }
    .spread { stroke: #8b949e; stroke-width: 2; }
"""


def bars(table: Table) -> str:
    """One bar a row for the table's ``plot`` column, with the rounds' range as a whisker."""
    name = table.plot or ""
    rows = [(row, row.values[name]) for row in table.rows if name in row.values]
    most = max(max(values.rounds) for _, values in rows) or 1.0
    scale = (_WIDTH - _LABELS - _VALUES) / most
    height = _TOP + _ROW * len(rows) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'width="{_WIDTH}" height="{height}">',
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="8" y="24">{escape(table.title)} '
        f"({escape(table.columns[name])})</text>",
        *(_bar(row, values, scale, _TOP + _ROW * n) for n, (row, values) in enumerate(rows)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _bar(row: Row, values: Values, scale: float, y: float) -> str:
    length = values.median * scale
    low, high = (_LABELS + bound * scale for bound in (min(values.rounds), max(values.rounds)))
    middle = y + _ROW / 2 - 3
    kind = "ours" if row.subject.startswith("service") else "bar"
    number = f"{values.median:,.0f}" if values.median >= 100 else f"{values.median:.3g}"
    return (
        f'<text x="{_LABELS - 8}" y="{y + 16}" text-anchor="end">{escape(row.subject)}</text>'
        f'<rect class="{kind}" x="{_LABELS}" y="{y + 2}" width="{length:.1f}" height="{_ROW - 10}" '
        'rx="2"/>'
        f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>'
        f'<text x="{max(high, _LABELS + length) + 8:.1f}" y="{y + 16}">{number}</text>'
    )

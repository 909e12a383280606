"""The same queries over ten thousand, a million and ten million transactions."""

from contextlib import ExitStack
from dataclasses import dataclass

from bench.books import fill, open_wallets
from bench.lab import Database, Lab, Subject
from bench.results import CaseResult, Measured, Row, Table, Target, Values, ratio

NAME = "scale"
TITLE = "Scale"

_QUERIES = (
    "due scan",
    "claim of 100",
    "settle of 100",
    "deposit",
    "wallet page",
    "deep page",
    "statement",
)
_MOST_GROWTH = 2.0
_AUDIT_RATE = 500_000


@dataclass(frozen=True, slots=True)
class _Filled:
    transactions: int
    database: Database
    wallets: list[int]

    @property
    def name(self) -> str:
        return f"{self.transactions:,} transactions"


def steps(lab: Lab) -> int:
    return len(lab.size.scales) * (lab.rounds + 3)


def run(lab: Lab) -> CaseResult:
    with ExitStack() as databases:
        filled = [_filled(lab, databases, count) for count in lab.size.scales]
        audits = [_audit(lab, each) for each in filled]
        found = lab.interleave(
            [Subject(each.name, lambda each=each: _measure(lab, each)) for each in filled]  # type: ignore[misc]
        )
        churned = {each.name: [_churned(lab, each)] for each in filled}
    result = CaseResult(case=NAME, title=TITLE)
    columns = {query: f"{query}, ms" for query in _QUERIES}
    rows = [Row.of(name, rounds) for name, rounds in found.items()]
    old = [Row.of(name, rounds) for name, rounds in churned.items()]
    result.tables = [
        Table("hot queries, median", columns, rows),
        Table(f"the same under an old snapshot, after {lab.size.churn:,} payouts", columns, old),
        Table(
            "audit_ledger",
            {
                "entries": "entries/s",
                "seconds": "s",
                "pass": "entries/s in the slowest rule",
                "mib": "MiB at most",
            },
            audits,
            plot="entries",
        ),
    ]
    result.targets = _targets(lab, filled, found, churned, audits)
    result.notes = [
        "A tenth of the transactions belong to one wallet; deep page and statement are of it, the "
        "page from its middle. All others have about as many rows as there are to each wallet.",
        "The audit is a pass for each rule; what its target asks for is the rate of them all.",
        "Claims look from where the last one ended, as the executor's do.",
    ]
    return result


def _filled(lab: Lab, databases: ExitStack, count: int) -> _Filled:
    database = databases.enter_context(lab.database(f"scale_{count}"))
    # Ten transactions a wallet at least, so that none is without money.
    wallets = open_wallets(database, min(lab.size.wallets, count // 10), balance=0)
    for made in fill(database, wallets, count):
        lab.bar.set_postfix_str(f"filling, {made:,} of {count:,}")
    lab.bar.update()
    return _Filled(count, database, wallets)


def _measure(lab: Lab, filled: _Filled, *options: str) -> Measured:
    numbers: Measured = lab.ask(
        "scale",
        f"--first={filled.wallets[0]}",
        f"--wallets={len(filled.wallets)}",
        f"--deep={filled.wallets[0]}",
        f"--repeats={lab.size.scale_repeats}",
        *options,
        url=filled.database.url,
    )
    return numbers


def _churned(lab: Lab, filled: _Filled) -> Measured:
    lab.bar.set_postfix_str(f"old snapshot, {filled.name}")
    numbers = _measure(lab, filled, f"--churn={lab.size.churn}")
    lab.bar.update()
    return numbers


def _audit(lab: Lab, filled: _Filled) -> Row:
    lab.bar.set_postfix_str(f"audit, {filled.name}")
    with filled.database.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM wallets_ledgerentry")
        [entries] = cursor.fetchone()
    numbers = lab.ask("auditing", url=filled.database.url)
    lab.bar.update()
    rates = {
        "entries": entries / numbers["seconds"],
        "pass": entries / numbers.pop("slowest"),
    }
    return Row.of(filled.name, [rates | numbers])


def _targets(
    lab: Lab,
    filled: list[_Filled],
    found: dict[str, list[Measured]],
    churned: dict[str, list[Measured]],
    audits: list[Row],
) -> list[Target]:
    smallest, largest = filled[0].name, filled[-1].name
    targets = [
        Target(
            f"{query}: largest against smallest",
            ratio(found[largest], found[smallest], query),
            _MOST_GROWTH,
            at_least=False,
            unit="x",
        )
        for query in _QUERIES
    ]
    targets += [
        Target(
            f"{query}: largest under an old snapshot against smallest",
            churned[largest][0][query] / Values(tuple(r[query] for r in found[smallest])).median,
            _MOST_GROWTH,
            at_least=False,
            unit="x",
        )
        for query in _QUERIES
    ]
    audit = audits[-1].values
    memory = audits[-1].values["mib"].median / audits[0].values["mib"].median
    return [
        *targets,
        Target("audited entries a second", audit["entries"].median, _AUDIT_RATE),
        Target(
            "the audit's memory: largest against smallest",
            memory,
            1.5,
            at_least=False,
            unit="x",
        ),
    ]

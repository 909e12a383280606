"""Bulk deposits: the domain function beside bare set-based SQL for the same rows."""

from bench.books import open_wallets
from bench.lab import Lab, Subject
from bench.results import CaseResult, Measured, Row, Table, Target, ratio

NAME = "bulk"
TITLE = "Bulk deposits"

_SERVICE, _BARE = "service", "bare set-based SQL"


def steps(lab: Lab) -> int:
    return lab.rounds * 2


def run(lab: Lab) -> CaseResult:
    size = lab.size
    with lab.database(NAME) as database:
        wallets = open_wallets(database, size.wallets, balance=0)

        def measure(*options: str) -> Measured:
            numbers: Measured = lab.ask(
                "bulk",
                f"--first={wallets[0]}",
                f"--wallets={len(wallets)}",
                f"--batches={size.bulk_batches}",
                f"--batch={size.bulk_batch}",
                *options,
                url=database.url,
            )
            return numbers

        found = lab.interleave(
            [Subject(_SERVICE, measure), Subject(_BARE, lambda: measure("--bare"))]
        )
    return CaseResult(
        case=NAME,
        title=TITLE,
        tables=[
            Table(
                title=f"batches of {size.bulk_batch}, {size.wallets} wallets, one connection",
                columns={"rate": "deposits/s", "ms": "ms a batch"},
                rows=[Row.of(name, rounds) for name, rounds in found.items()],
                plot="rate",
            )
        ],
        targets=[
            Target(
                "share of the bare SQL",
                ratio(found[_SERVICE], found[_BARE], "rate"),
                0.5,
                unit="%",
            )
        ],
        notes=[
            "The service finds earlier requests by their keys, decides item by item and returns a "
            "receipt for each."
        ],
    )

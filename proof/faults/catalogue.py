"""All twenty, by number."""

from proof.faults import (  # noqa: F401 - importing lists them
    answers,
    arrivals,
    clocks,
    crashes,
    database,
    hot_wallet,
    outages,
    refusals,
    stopping,
    throttling,
)
from proof.faults.stage import Fault, all_faults

FAULTS: list[Fault] = all_faults()

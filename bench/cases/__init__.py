"""What is compared with what. Each module has a ``NAME``, ``steps`` for the bar, and ``run``."""

from types import ModuleType

from bench.cases import bulk, deposits, latency, payouts, scale, startup

CASES: dict[str, ModuleType] = {
    case.NAME: case for case in (deposits, payouts, bulk, latency, startup, scale)
}

"""How much of everything a run measures."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    name: str
    rounds: int
    # Deposits over HTTP.
    wallets: int
    http_seconds: float  # each server and pattern, each round
    # Payouts.
    concurrency: int
    processes: int
    payouts_slow_bank: int
    payouts_fast_bank: int
    payouts_row_loop: int
    # Bulk deposits.
    bulk_batches: int
    bulk_batch: int
    # Scale: transactions in the table, from small to large.
    scales: tuple[int, ...]
    deep_wallet: int  # transactions in the one wallet that is paged through, at the largest scale
    scale_repeats: int
    churn: int  # withdrawals processed while another session holds a snapshot
    # Latency of a payout.
    latency_seconds: int
    latency_rate: int  # due withdrawals a second
    # Start-up and idling.
    startup_repeats: int
    idle_seconds: float


SMOKE = Size(
    name="smoke",
    rounds=1,
    wallets=200,
    http_seconds=0.3,
    concurrency=16,
    processes=2,
    payouts_slow_bank=50,
    payouts_fast_bank=50,
    payouts_row_loop=3,
    bulk_batches=2,
    bulk_batch=100,
    scales=(2_000, 10_000),
    deep_wallet=1_000,
    scale_repeats=3,
    churn=500,
    latency_seconds=1,
    latency_rate=50,
    startup_repeats=1,
    idle_seconds=1.0,
)
FULL = Size(
    name="full",
    rounds=3,
    wallets=10_000,
    http_seconds=5.0,
    concurrency=128,
    processes=4,
    payouts_slow_bank=6_000,
    payouts_fast_bank=10_000,
    payouts_row_loop=80,
    bulk_batches=30,
    bulk_batch=1_000,
    scales=(10_000, 1_000_000, 10_000_000),
    deep_wallet=1_000_000,
    scale_repeats=200,
    churn=100_000,
    latency_seconds=60,
    latency_rate=100,
    startup_repeats=5,
    idle_seconds=10.0,
)
SIZES = {size.name: size for size in (SMOKE, FULL)}

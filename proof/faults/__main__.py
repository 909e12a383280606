"""``python -m proof.faults [NUMBER...] [--full] [--seed N]``: the faults, or some of them."""

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

from proof.faults.catalogue import FAULTS
from proof.faults.run import run_faults
from proof.harness.servers import postgres_server


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m proof.faults")
    parser.add_argument("numbers", nargs="*", type=int, metavar="NUMBER")
    parser.add_argument("--full", action="store_true", help="the size of a release's proof")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    options = parser.parse_args()
    wanted = [one for one in FAULTS if not options.numbers or one.number in options.numbers]
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="wallet-proof-") as name:
        scratch = Path(name)
        with postgres_server(scratch) as server:
            results = run_faults(
                wanted, server, scratch=scratch, seed=options.seed, full=options.full
            )
    return 0 if all(not result.problem for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())

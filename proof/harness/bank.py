"""The mock bank as a process, its rules of misbehaviour and its book."""

import json
import re
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proof.harness.processes import ROOT, Process, ProofError, own_environment, until

# What the bank says of a payment it never made.
FAILED_BODY = {"data": "failed", "status": 503, "reason": "declined"}


@dataclass(frozen=True, slots=True)
class Payment:
    key: str
    wallet_owner_ref: str
    amount: int
    currency: str
    reference: str


class MockBank:
    """Its book is a file, so that it outlives a ``kill``; ``start`` takes the same port again."""

    def __init__(self, directory: Path, *, latency_ms: int = 0, seed: int = 1) -> None:
        self._directory = directory
        self._flags = ["--latency-ms", str(latency_ms), "--seed", str(seed)]
        self._port = 0
        self._starts = 0
        self._process: Process | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        self._starts += 1
        process = Process(
            [
                "app.py",
                *("--port", str(self._port)),
                *("--db", str(self._directory / "bank.sqlite3")),
                *self._flags,
            ],
            log=self._directory / f"bank-{self._starts}",
            environment=own_environment(),
            directory=ROOT / "third-party",
        )
        until("the bank listens", lambda: "http://" in process.output() or process.code is not None)
        listens = re.search(r"http://127\.0\.0\.1:(\d+)", process.output())
        if listens is None:
            raise ProofError(f"the bank did not start:\n{process.errors()}")
        self._port = int(listens[1])
        self._process = process

    def stop(self) -> None:
        if self._process is not None:
            self._process.end()
        self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
        self._process = None

    def pause(self) -> None:
        """Nobody answers, and what arrives waits until ``resume``."""
        if self._process is not None:
            self._process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self._process is not None:
            self._process.signal(signal.SIGCONT)

    def misbehave(self, fault: str, arg: Any = None, **rule: Any) -> None:
        """``rule``: match, times, probability, on; see the mock bank's README."""
        body = {"fault": fault, **rule}
        if arg is not None:
            body["arg"] = arg
        self._ask("POST", "/control", body)

    def behave(self) -> None:
        self._ask("DELETE", "/control")

    def payments(self) -> list[Payment]:
        return list(self._payments())

    def _payments(self) -> Iterator[Payment]:
        after: int | None = 0
        while after is not None:
            page = self._ask("GET", f"/ledger?limit=10000&after={after}")
            for entry in page["entries"]:
                yield Payment(*(entry[name] for name in Payment.__slots__))
            after = page["next"]

    def statement(self, path: Path) -> Path:
        """Write the statement in CSV, as a bank would send it."""
        with urllib.request.urlopen(f"{self.url}/ledger?format=csv") as answer:
            path.write_bytes(answer.read())
        return path

    def transfers_asked(self) -> Counter[str]:
        """How often each key was sent to be paid since the bank's process began."""
        return Counter(self._ask("GET", "/requests")["transfers"])

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
        )
        end = time.monotonic() + 20
        while True:
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    return json.loads(answer.read())
            except ConnectionError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

"""Child processes that end with the proof that started them, however it ends."""

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Long enough for a busy machine; a passing proof never waits for it.
PATIENCE_SECONDS = 60.0

_alive: "set[Process]" = set()
_alive_lock = threading.Lock()


class ProofError(Exception):
    """A proof could not be carried out, which says nothing about the money."""


class Process:
    """A Python program of this project, run from the project's root."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        directory: Path = ROOT,
        ready: str = "",
    ) -> None:
        """``ready``: what it logs once it can be asked to stop; before, a signal would end it as
        Python ends any program."""
        self._ready = ready
        self.output_path = log.with_suffix(".out")
        self.errors_path = log.with_suffix(".err")
        with self.output_path.open("wb") as output, self.errors_path.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )
        with _alive_lock:
            _alive.add(self)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """As a shell shows it; ``None`` while it runs."""
        code = self._process.poll()
        return 128 - code if code is not None and code < 0 else code

    def output(self) -> str:
        return self.output_path.read_text(errors="replace")

    def errors(self) -> str:
        return self.errors_path.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Raises ``ProofError`` when it is not over by then."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            # Its last words are then where each of its threads is.
            self._process.send_signal(signal.SIGABRT)
            time.sleep(0.5)
            raise ProofError(f"still running after {seconds:g} s:\n{self._last_words()}") from None
        with _alive_lock:
            _alive.discard(self)
        return self.code or 0

    def end(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Ask it to stop, as soon as it can be asked, and wait until it has."""
        until("it can be asked to stop", self._can_be_asked, seconds=seconds)
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def _can_be_asked(self) -> bool:
        return self._ready in self.errors() or self.code is not None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        with _alive_lock:
            _alive.discard(self)

    def is_stopped(self) -> bool:
        """Whether SIGSTOP holds it."""
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def _last_words(self) -> str:
        return "\n".join((self.output() + self.errors()).splitlines()[-60:])


def until(
    what: str, holds: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS, every: float = 0.03
) -> None:
    """Wait until it holds. Raises ``ProofError`` naming ``what`` when it does not in time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise ProofError(f"after {seconds:g} s it still was not so: {what}")
        time.sleep(every)


def own_environment() -> dict[str, str]:
    """The caller's without the project's settings, so that a proof means the same everywhere."""
    sample = (ROOT / ".env.sample").read_text().splitlines()
    ours = {line.partition("=")[0] for line in sample if "=" in line and not line.startswith("#")}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return kept | {"PYTHON_DOTENV_DISABLED": "1", "PYTHONFAULTHANDLER": "1", "DEBUG": "True"}


@atexit.register
def _kill_all() -> None:
    with _alive_lock:
        left = list(_alive)
    for process in left:
        if process.code is None:
            process.kill()

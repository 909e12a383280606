"""Processes that are started together, watched, and stopped together."""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

START_SECONDS = 60
# Longer than the executor's calls in flight may take.
STOP_SECONDS = 20
_TAIL_LINES = 20

# Ends the process when its own input ends: when we are gone, even by kill -9.
_WATCHER = 'read -r nothing; kill -TERM "$1"'


class ServiceFailed(Exception):
    """A process ended, or did not get ready. The message ends with the last lines of its log."""


@dataclass(frozen=True)
class _Running:
    name: str
    process: subprocess.Popen[bytes]
    watcher: subprocess.Popen[bytes]
    log: Path


class Services:
    """Leaving the ``with`` block stops everything, the last started first.

    Each process writes to ``directory``/NAME.log, and has its own session, so that Ctrl-C in the
    terminal reaches only us.
    """

    def __init__(self, *, root: Path, directory: Path, environment: dict[str, str]) -> None:
        self._root = root
        self._directory = directory
        self._environment = environment
        self._running: list[_Running] = []

    def __enter__(self) -> "Services":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Whoever presses Ctrl-C twice should still leave nothing behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for service in reversed(self._running):
            service.process.terminate()
            try:
                service.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                service.process.kill()
                service.process.wait()
            service.watcher.kill()
            service.watcher.wait()

    def start(self, name: str, command: Sequence[str], *, is_ready: Callable[[Path], bool]) -> None:
        """Start ``command`` and wait until ``is_ready``, which is given the log, says so.

        Raises ``ServiceFailed``.
        """
        log = self._directory / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=self._root,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        watcher = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHER, f"{name}-watcher", str(process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._running.append(_Running(name, process, watcher, log))
        deadline = time.monotonic() + START_SECONDS
        while not is_ready(log):
            self.check()
            if time.monotonic() > deadline:
                raise ServiceFailed(
                    f"{name} is not ready after {START_SECONDS} seconds.\n{tail(log)}"
                )
            time.sleep(0.1)
        self.check()

    def run(self, name: str, command: Sequence[str]) -> str:
        """Run ``command`` to its end; return what it printed. Raises ``ServiceFailed``."""
        log = self._directory / f"{name}.log"
        with log.open("wb") as output:
            code = subprocess.run(
                command,
                cwd=self._root,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode
        if code != 0:
            raise ServiceFailed(f"{name} failed (exit {code}).\n{tail(log)}")
        return log.read_text(errors="replace")

    def check(self) -> None:
        """Raises ``ServiceFailed`` when one of the processes has ended."""
        for service in self._running:
            code = service.process.poll()
            if code is not None:
                raise ServiceFailed(
                    f"{service.name} ended by itself (exit {code}).\n{tail(service.log)}"
                )

    def tails(self) -> str:
        return "\n".join(tail(service.log) for service in self._running)


def tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    return "\n".join([f"--- the end of {log}", *lines])

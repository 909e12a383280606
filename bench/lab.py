"""What the cases work with: a server, databases, processes and a progress bar."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
from tqdm import tqdm

from bench.results import Measured
from bench.sizes import Size

ROOT = Path(__file__).resolve().parent.parent
# Two benchmarks may share a server.
_PREFIX = f"bench_{os.getpid()}"
_TEMPLATE = f"{_PREFIX}_template"
_READY_SECONDS = 60.0


class BenchError(Exception):
    """A subject did not do what it was there for; its numbers would mean nothing."""


@dataclass(frozen=True, slots=True)
class Subject:
    name: str
    measure: Callable[[], Measured]


@dataclass(frozen=True, slots=True)
class Database:
    url: str

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """On a connection of its own, each statement its own transaction."""
        connection = psycopg2.connect(self.url)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()


@dataclass(slots=True)
class Lab:
    """``admin_url``: a superuser's, on a server that may be filled and slowed down."""

    admin_url: str
    size: Size
    rounds: int
    logs: Path
    bar: "tqdm[Any]"
    _has_template: bool = field(default=False, init=False)

    # --- Rounds ----------------------------------------------------------------------------------

    def interleave(self, subjects: Sequence[Subject]) -> dict[str, list[Measured]]:
        """Measure each subject once a round, every other round backwards.

        A machine that gets slower during a round then does so for all, and in both directions.
        """
        found: dict[str, list[Measured]] = {subject.name: [] for subject in subjects}
        for number in range(self.rounds):
            order = subjects if number % 2 == 0 else list(reversed(subjects))
            for subject in order:
                self.bar.set_postfix_str(subject.name[:40])
                found[subject.name].append(subject.measure())
                self.bar.update()
        return found

    # --- Databases -------------------------------------------------------------------------------

    @contextmanager
    def database(self, name: str) -> Iterator[Database]:
        """A new one with the service's tables, gone afterwards."""
        if not self._has_template:
            self._recreate(_TEMPLATE)
            self.run(["manage.py", "migrate", "--verbosity=0"], self._url(_TEMPLATE))
            self._has_template = True
        self._recreate(f"{_PREFIX}_{name}", _TEMPLATE)
        try:
            yield Database(self._url(f"{_PREFIX}_{name}"))
        finally:
            self._admin(f'DROP DATABASE "{_PREFIX}_{name}" WITH (FORCE)')

    def clean(self) -> None:
        if self._has_template:
            self._admin(f'DROP DATABASE "{_TEMPLATE}" WITH (FORCE)')

    def _recreate(self, name: str, template: str = "template1") -> None:
        self._admin(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self._admin(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        # Nothing that was traded away on the server is measured, nor accepted by an executor.
        self._admin(f'ALTER DATABASE "{name}" SET synchronous_commit = on')

    def _admin(self, statement: str) -> None:
        with Database(self.admin_url).cursor() as cursor:
            cursor.execute(statement)

    def _url(self, name: str) -> str:
        return urlsplit(self.admin_url)._replace(path=f"/{name}").geturl()

    # --- Processes -------------------------------------------------------------------------------

    def environment(self, url: str, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """As in production, and nothing of the caller's own settings."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": url,
            "DEBUG": "False",
            "DJANGO_SECRET_KEY": "benchmark-" + "0123456789abcdefghijklmnopqrstuvwxyz" * 2,
            "DJANGO_SETTINGS_MODULE": "wallet.settings",
            "ALLOWED_HOSTS": "127.0.0.1",
            "API_AUTH_REQUIRED": "True",
            **(extra or {}),
        }

    def run(
        self, arguments: Sequence[str], url: str, extra: Mapping[str, str] | None = None
    ) -> str:
        """Run a Python program to its end and return what it printed."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment(url, extra),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BenchError(f"{arguments} ended with {done.returncode}:\n{done.stderr[-4000:]}")
        return done.stdout

    def ask(
        self,
        subject: str,
        *arguments: str,
        url: str = "",
        extra: Mapping[str, str] | None = None,
    ) -> Any:
        """Run ``bench.subjects.<subject>``, which prints its numbers as JSON in its last line."""
        output = self.run(["-m", f"bench.subjects.{subject}", *arguments], url, extra)
        return json.loads(output.strip().splitlines()[-1])

    @contextmanager
    def process(
        self,
        name: str,
        arguments: Sequence[str],
        url: str = "",
        extra: Mapping[str, str] | None = None,
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """A program that runs until the block ends."""
        log_path = self.logs / f"{name}.log"
        with log_path.open("ab") as log:
            started = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=self.environment(url, extra),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            yield started
            if started.poll() is not None:
                raise BenchError(f"{name} ended by itself:\n{log_path.read_text()[-4000:]}")
        finally:
            started.terminate()
            try:
                started.wait(15)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()

    def tail(self, name: str) -> str:
        """The ends of the logs of the processes whose names begin so."""
        paths = sorted(self.logs.glob(f"{name}*.log"))
        return "\n".join(path.read_text(errors="replace")[-2_000:] for path in paths)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_http(port: int, path: str = "/") -> None:
    """Until something answers there, whatever it says."""
    address = f"http://127.0.0.1:{port}{path}"

    def answers() -> bool:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    wait_until(answers, f"nothing answers on port {port}")


def wait_until(
    reached: Callable[[], bool], else_says: str, *, seconds: float = _READY_SECONDS
) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise BenchError(else_says)
        time.sleep(0.02)

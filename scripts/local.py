"""Mock bank, API and executor on this machine, with the demo. Run by ``scripts/run``."""

import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from dotenv import load_dotenv

from scripts.demo import Demo, DemoFailed, answers, say
from scripts.ports import HOST, chosen_ports
from scripts.services import ServiceFailed, Services

ROOT = Path(__file__).resolve().parent.parent
MANAGE = [sys.executable, "manage.py"]


class AlreadyRunning(Exception):
    """Another ./scripts/run works here."""


def main(*, demo_only: bool) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _on_signal)
    api_port, bank_port = chosen_ports()
    api, bank = f"http://{HOST}:{api_port}", f"http://{HOST}:{bank_port}"
    directory = Path(os.environ.get("RUN_DIRECTORY") or ROOT / ".run").resolve()
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with (
            _alone_in(directory),
            Services(
                root=ROOT, directory=directory, environment=_environment(directory, bank)
            ) as services,
        ):
            login = _start(services, directory=directory, api=api, bank=bank)
            _play(services, api=api, bank=bank)
            if not demo_only:
                _print_addresses(directory, api=api, bank=bank, login=login)
                _wait(services)
    except AlreadyRunning:
        print(f"Another ./scripts/run works in {directory}; stop it first.", file=sys.stderr)
        return 2
    except (DemoFailed, ServiceFailed) as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    return 0


def _on_signal(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Two runs would overwrite each other's logs. The lock goes with the process."""
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning from None
        yield


def _environment(directory: Path, bank: str) -> dict[str, str]:
    """The caller's and ``.env``'s settings, with our bank, and our own database if none is set."""
    load_dotenv(ROOT / ".env")
    environment = os.environ | {"BANK_BASE_URL": bank, "PYTHONUNBUFFERED": "1"}
    if not environment.get("DATABASE_URL") and not environment.get("DB_NAME"):
        environment["DATABASE_URL"] = f"sqlite:///{directory}/wallet.sqlite3"
    return environment


def _start(services: Services, *, directory: Path, api: str, bank: str) -> str:
    """Start everything; return the login of the admin."""
    say("Preparing the database ...")
    services.run("migrate", [*MANAGE, "migrate", "--verbosity", "0"])
    login = services.run("login", [sys.executable, "-m", "scripts.development_login"])
    say("Starting the mock bank, the API and the executor ...")
    services.start(
        "bank",
        [
            sys.executable,
            "third-party/app.py",
            f"--host={HOST}",
            f"--port={bank.rpartition(':')[2]}",
            f"--db={directory}/bank.sqlite3",
        ],
        is_ready=lambda _: answers(f"{bank}/health"),
    )
    services.start(
        "api",
        [*MANAGE, "runserver", "--noreload", api.removeprefix("http://")],
        is_ready=lambda _: answers(f"{api}/health/"),
    )
    services.start(
        "executor",
        [*MANAGE, "run_withdrawal_executor", "--loop", "--sleep-seconds", "1"],
        # The line that ends its first cycle.
        is_ready=lambda log: "processed=" in log.read_text(errors="replace"),
    )
    return login.strip()


def _play(services: Services, *, api: str, bank: str) -> None:
    say(f"\nThe demo, at {api}; empty fields and timestamps are left out.")
    demo = Demo(api=api, bank=bank)
    try:
        demo.play()
    except DemoFailed as problem:
        raise DemoFailed(f"{problem}\n{services.tails()}") from problem
    demo.title("The audit proves the books: every wallet, entry and status against the others.")
    say("   python3 manage.py audit_ledger")
    for line in services.run("audit", [*MANAGE, "audit_ledger"]).splitlines():
        say(f"   {line}".rstrip())
    say("\nThe demo went through.")


def _print_addresses(directory: Path, *, api: str, bank: str, login: str) -> None:
    say(
        f"""
Everything goes on running until Ctrl-C:

  API docs      {api}/api/docs/
  Admin         {api}/admin/
    login       {login}
  Bank's book   {bank}/ledger
  Logs          {directory}/bank.log, api.log, executor.log
"""
    )


def _wait(services: Services) -> None:
    """Until a signal, which is the way this ends. Raises ``ServiceFailed``."""
    try:
        while True:
            services.check()
            time.sleep(0.5)
    except SystemExit:
        say("\nStopping ...")


if __name__ == "__main__":
    sys.exit(main(demo_only="--demo-only" in sys.argv[1:]))

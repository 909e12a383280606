"""The commands under ``scripts/``: what they start ends with them, and they say what is wrong."""

import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from unittest import mock

import psycopg2
from django.test import SimpleTestCase

from scripts import environment
from scripts.checks import Stage, print_summary, run_stage
from scripts.ports import free_port
from scripts.postgres import EmbeddedPostgres, PostgresError

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = [sys.executable, "scripts/postgres.py", "run"]

# Starts a process that would run for a minute, says its id, and waits.
SERVICES = """
import sys, time
from pathlib import Path
from scripts.services import Services
command = ["/bin/sh", "-c", "echo $$; exec sleep 60"]
directory = Path(sys.argv[1])
with Services(root=directory, directory=directory, environment={}) as services:
    services.start("sleeper", command, is_ready=lambda log: bool(log.read_text()))
    print(directory.joinpath("sleeper.log").read_text().strip(), flush=True)
    if sys.argv[2] == "wait":
        time.sleep(60)
"""


def launch(*command: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: "subprocess.Popen[str]", number: int) -> int:
    process.send_signal(number)
    process.communicate(timeout=60)
    return process.returncode


def takes_connections(dsn: str) -> bool:
    try:
        psycopg2.connect(dsn).close()
    except psycopg2.OperationalError:
        return False
    return True


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # An orphan that has ended stays listed until somebody asks how, which not every init does.
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def eventually(holds: Callable[[], bool]) -> bool:
    """Patient, because these machines may be busy; right at once in the usual case."""
    deadline = time.monotonic() + 60
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


class EmbeddedPostgresTest(SimpleTestCase):
    def test_starts_and_leaves_nothing_behind(self) -> None:
        with EmbeddedPostgres(settings={"max_connections": "17"}) as server:
            home, dsn, pid = server.home, server.dsn, server.pid
            connection = psycopg2.connect(dsn)
            self.addCleanup(connection.close)
            with connection.cursor() as cursor:
                cursor.execute("SHOW max_connections")
                self.assertEqual(cursor.fetchone(), ("17",))
        self.assertFalse(takes_connections(dsn))
        self.assertFalse(is_alive(pid))
        self.assertFalse(home.exists())

    def test_keeps_its_data_and_port_through_kill_and_restart(self) -> None:
        with EmbeddedPostgres(durable=True) as server:
            dsn = server.dsn
            with psycopg2.connect(dsn) as connection, connection.cursor() as cursor:
                cursor.execute("CREATE TABLE kept AS SELECT 42 AS answer")
            connection.close()
            for again in (server.kill, server.restart, server.stop):
                again()
                server.start()
                self.assertEqual(server.dsn, dsn)
                with psycopg2.connect(dsn) as connection, connection.cursor() as cursor:
                    cursor.execute("SELECT answer FROM kept")
                    self.assertEqual(cursor.fetchone(), (42,))
                connection.close()

    def test_names_a_directory_without_postgres(self) -> None:
        with (
            mock.patch.dict(os.environ, {"PG_BIN": "/nowhere"}),
            self.assertRaisesMessage(PostgresError, "PG_BIN=/nowhere"),
        ):
            EmbeddedPostgres().start()


class LauncherTest(SimpleTestCase):
    def test_passes_the_exit_code_on_and_stops_the_server(self) -> None:
        launcher = launch(*LAUNCHER, "--", "sh", "-c", "echo $DATABASE_URL; exit 7")
        dsn, _ = launcher.communicate(timeout=120)
        self.assertEqual(launcher.returncode, 7)
        self.assertTrue(dsn.startswith("postgres://postgres@127.0.0.1:"), dsn)
        self.assertFalse(takes_connections(dsn.strip()))

    def test_hands_a_signal_to_the_command_and_stops_the_server(self) -> None:
        launcher = launch(*LAUNCHER, "--", "sh", "-c", "echo $DATABASE_URL; exec sleep 60")
        dsn = first_line(launcher)
        self.assertTrue(takes_connections(dsn))
        self.assertEqual(end(launcher, signal.SIGTERM), 128 + signal.SIGTERM)
        self.assertFalse(takes_connections(dsn))

    def test_leaves_no_server_when_it_is_killed(self) -> None:
        launcher = launch(*LAUNCHER, "--", "sh", "-c", "echo $DATABASE_URL; echo $$; exec sleep 60")
        dsn, command = first_line(launcher), int(first_line(launcher))
        self.assertTrue(takes_connections(dsn))
        launcher.kill()
        os.kill(command, signal.SIGKILL)
        launcher.communicate(timeout=60)
        self.assertTrue(eventually(lambda: not takes_connections(dsn)))


class ServicesTest(SimpleTestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.directory = scratch.name

    def start(self, what: str) -> tuple["subprocess.Popen[str]", int]:
        services = launch(sys.executable, "-c", SERVICES, self.directory, what)
        return services, int(first_line(services))

    def test_stops_what_it_started_at_the_end(self) -> None:
        services, pid = self.start("leave")
        services.communicate(timeout=60)
        self.assertFalse(is_alive(pid))

    def test_stops_what_it_started_when_it_is_killed(self) -> None:
        services, pid = self.start("wait")
        self.assertTrue(is_alive(pid))
        end(services, signal.SIGKILL)
        self.assertTrue(eventually(lambda: not is_alive(pid)))


class RunTest(SimpleTestCase):
    def run_script(self, *arguments: str, **ports: str) -> "subprocess.CompletedProcess[str]":
        with tempfile.TemporaryDirectory() as scratch:
            directory = Path(scratch, "run")
            run = subprocess.run(
                ["./scripts/run", "--demo-only", *arguments],
                cwd=ROOT,
                env=os.environ | {"RUN_DIRECTORY": str(directory)} | ports,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            self.assertFalse(directory.exists(), "something was started")
        return run

    def test_names_a_port_in_use_and_starts_nothing(self) -> None:
        for name, other in (("PORT", "BANK_PORT"), ("BANK_PORT", "PORT")):
            with self.subTest(name), socket.create_server(("127.0.0.1", 0)) as taken:
                port = str(taken.getsockname()[1])
                run = self.run_script(**{name: port, other: str(free_port())})
                self.assertEqual(run.returncode, 2)
                self.assertIn(f"Port {port} is in use", run.stderr)
                self.assertIn(f"{name}=", run.stderr)

    def test_refuses_ports_that_are_none(self) -> None:
        for port in ("http", "0", "65536", "-1", "١٢"):
            with self.subTest(port):
                run = self.run_script(PORT=port)
                self.assertEqual(run.returncode, 2)
                self.assertIn("PORT", run.stderr)

    def test_refuses_unknown_words(self) -> None:
        run = self.run_script("--forever")
        self.assertEqual((run.returncode, run.stderr.split(":")[0]), (2, "usage"))


class ChecksTest(SimpleTestCase):
    def test_counts_a_stage_without_a_report_as_a_failure(self) -> None:
        """As pytest leaves it when there was no test to run, exit 5, or when it crashed."""
        stage = Stage("tests", [sys.executable, "-c", "exit(5)"], report=Path("/nowhere.xml"))
        printed = io.StringIO()
        with redirect_stdout(printed):
            result = run_stage(stage, dict(os.environ))
            print_summary([result, result])
        self.assertEqual((result.code, result.passed, result.failed), (5, 0, 1))
        self.assertEqual(printed.getvalue().splitlines()[-1], "0 passed, 2 failed")

    def test_adds_up_what_pytest_counted(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            report = Path(scratch, "report.xml")
            report.write_text(
                "<testsuites><testsuite><testcase/><testcase/><testcase><skipped/></testcase>"
                "<testcase><failure/><failure/></testcase><testcase><error/></testcase>"
                "</testsuite></testsuites>"
            )
            with redirect_stdout(io.StringIO()):
                result = run_stage(Stage("tests", ["false"], report=report), dict(os.environ))
        self.assertEqual((result.passed, result.failed), (2, 2))


class EnvironmentTest(SimpleTestCase):
    def test_installs_again_when_an_included_file_changes(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            (root / "requirements.txt").write_text("one\n")
            (root / "requirements-dev.txt").write_text("-r requirements.txt\ntwo\n")
            with mock.patch.object(environment, "ROOT", root):
                before = environment._fingerprint("requirements-dev.txt")
                self.assertEqual(environment._fingerprint("requirements-dev.txt"), before)
                (root / "requirements.txt").write_text("one==1\n")
                self.assertNotEqual(environment._fingerprint("requirements-dev.txt"), before)

"""What the processes cost before they do anything: queries when idle, time and memory."""

import time
from pathlib import Path

from bench.books import open_wallets
from bench.executors import executors
from bench.lab import Database, Lab, free_port, wait_for_http
from bench.results import CaseResult, Measured, Row, Table, Target, Values
from bench.roundtrips import CountingProxy

NAME = "startup"
TITLE = "Start-up and idling"

_SERVER = ["django", "wallet.wsgi", "wallets.api.urls"]
_EXECUTOR = ["django", "wallets.management.commands.run_withdrawal_executor"]
_SLEEP = 0.2


def steps(lab: Lab) -> int:
    return lab.size.startup_repeats * 2 + 3


def run(lab: Lab) -> CaseResult:
    with lab.database(NAME) as database:
        open_wallets(database, 1)
        imports = [
            _imports(lab, "server", _SERVER, database),
            _imports(lab, "executor", _EXECUTOR, database),
        ]
        once = _queries_of_one_run(lab, database)
        idle = _queries_of_an_idle_cycle(lab, database)
        memory = [
            Row(
                "server worker, after a request", {"mib": Values((_server_memory(lab, database),))}
            ),
            Row("executor, idle in a loop", {"mib": Values((_executor_memory(lab, database),))}),
        ]
        lab.bar.update()
    return CaseResult(
        case=NAME,
        title=TITLE,
        tables=[
            Table("imports", {"ms": "ms", "mib": "MiB at most"}, imports),
            Table("memory of a process", {"mib": "resident MiB"}, memory),
            Table(
                "queries of the executor with nothing due",
                {"queries": "queries"},
                [
                    Row("one cycle of a loop", {"queries": Values((idle,))}),
                    Row("a whole run without --loop", {"queries": Values((once,))}),
                ],
            ),
        ],
        targets=[
            Target("queries of an idle cycle", idle, 3.0, at_least=False),
        ],
        notes=["Queries are round trips counted on the wire, those that open a session included."],
    )


def _imports(lab: Lab, name: str, modules: list[str], database: Database) -> Row:
    def measure() -> Measured:
        numbers: Measured = lab.ask("importing", *modules, url=database.url)
        return numbers

    rounds = []
    for _ in range(lab.size.startup_repeats):
        rounds.append(measure())
        lab.bar.update()
    return Row.of(name, rounds)


def _queries_of_one_run(lab: Lab, database: Database) -> float:
    command = ["manage.py", "run_withdrawal_executor", "--limit=100"]
    lab.run(command, database.url)  # the very first one makes the gate
    with CountingProxy(database) as proxy:
        lab.run(command, proxy.url)
        lab.bar.update()
        return float(proxy.count)


def _queries_of_an_idle_cycle(lab: Lab, database: Database) -> float:
    """By the fewest cycles there can have been, so that none looks cheaper than it is: the pause
    of an idle loop is drawn between half of ``--sleep-seconds`` and all of it."""
    with (
        CountingProxy(database) as proxy,
        executors(
            lab,
            database,
            count=1,
            bank="http://127.0.0.1:9",
            url=proxy.url,
            sleep_seconds=_SLEEP,
        ),
    ):
        before = proxy.count
        time.sleep(lab.size.idle_seconds)
        lab.bar.update()
        return (proxy.count - before) * _SLEEP / lab.size.idle_seconds


def _server_memory(lab: Lab, database: Database) -> float:
    port = free_port()
    command = ["-m", "gunicorn", "wallet.wsgi:application", f"--bind=127.0.0.1:{port}"]
    command += ["--workers=1", "--log-level=warning", "--no-control-socket"]
    with lab.process("server", command, database.url) as server:
        wait_for_http(port, "/health/")
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        return _resident(int(children[0]))


def _executor_memory(lab: Lab, database: Database) -> float:
    bank = "http://127.0.0.1:9"
    with executors(lab, database, count=1, bank=bank) as started:
        return _resident(started[0].pid)


def _resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [resident] = [line.split()[1] for line in lines if line.startswith("VmRSS")]
    return int(resident) / 1_024

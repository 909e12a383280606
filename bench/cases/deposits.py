"""Deposits over HTTP: the service beside a bare function with one statement, and beside the ORM."""

from collections.abc import Mapping
from contextlib import ExitStack

from bench.books import open_wallets
from bench.lab import Database, Lab, Subject, free_port, wait_for_http
from bench.results import CaseResult, Measured, Row, Table, Target, ratio

NAME = "deposits"
TITLE = "Deposits over HTTP"

_CLIENTS = 8
_WORKERS = 2
_SERVICE, _WITH_KEY = "service", "service, asking for API keys"
_CEILING, _ORM = "bare WSGI function, one statement", "DRF view over the ORM"
_SERVERS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    _SERVICE: ("wallet.wsgi:application", {"API_AUTH_REQUIRED": "False"}),
    _WITH_KEY: ("wallet.wsgi:application", {}),
    _CEILING: ("bench.subjects.bare_deposit:application", {}),
    _ORM: (
        "bench.subjects.orm_deposit:application",
        {"DJANGO_SETTINGS_MODULE": "bench.subjects.orm_settings"},
    ),
}
_UNIFORM, _HOT = "all wallets", "one wallet"


def steps(lab: Lab) -> int:
    return lab.rounds * len(_SERVERS) * 2


def run(lab: Lab) -> CaseResult:
    with lab.database(NAME) as database, ExitStack() as servers:
        api_key = _api_key(lab, database)
        wallets = open_wallets(database, lab.size.wallets, balance=0)
        subjects = []
        for server, (application, extra) in _SERVERS.items():
            port = _serve(lab, servers, database, application, extra)
            key = api_key if server == _WITH_KEY else ""
            for pattern, count in ((_UNIFORM, len(wallets)), (_HOT, 1)):
                name = f"{server}, {pattern}"
                subjects.append(_subject(lab, name, port, wallets[0], count, key))
        for subject in subjects:
            subject.measure()  # opens connections, prepares, fills caches
        found = lab.interleave(subjects)
    return _judge(lab, found)


def _api_key(lab: Lab, database: Database) -> str:
    """A key that may deposit, of an account that then gets the wallets."""
    arguments = ["manage.py", "create_api_key", "benchmark", "--scopes", "deposits:write"]
    return lab.run(arguments, database.url).splitlines()[0]


def _serve(
    lab: Lab, servers: ExitStack, database: Database, application: str, extra: Mapping[str, str]
) -> int:
    port = free_port()
    # All else is as gunicorn.conf.py has it, for all of them, but for the renewal of workers.
    gunicorn = ["-m", "gunicorn", application, f"--bind=127.0.0.1:{port}"]
    options = [f"--workers={_WORKERS}", "--max-requests=0"]
    servers.enter_context(lab.process(f"server-{port}", gunicorn + options, database.url, extra))
    wait_for_http(port, "/health/")
    return port


def _subject(lab: Lab, name: str, port: int, first: int, wallets: int, api_key: str) -> Subject:
    def measure() -> Measured:
        numbers: Measured = lab.ask(
            "http_load",
            f"--port={port}",
            f"--first={first}",
            f"--wallets={wallets}",
            f"--clients={_CLIENTS}",
            f"--seconds={lab.size.http_seconds}",
            f"--api-key={api_key}",
        )
        return numbers

    return Subject(name, measure)


def _judge(lab: Lab, found: Mapping[str, list[Measured]]) -> CaseResult:
    ours = found[f"{_SERVICE}, {_UNIFORM}"]
    hot = found[f"{_SERVICE}, {_HOT}"]
    ceiling = found[f"{_CEILING}, {_UNIFORM}"]
    tail = max(each["p99"] / each["p50"] for each in (*ours, *hot))
    return CaseResult(
        case=NAME,
        title=TITLE,
        tables=[
            Table(
                title=f"gunicorn, {_WORKERS} workers, {_CLIENTS} clients, "
                f"{lab.size.wallets} wallets",
                columns={
                    "rate": "deposits/s",
                    "p50": "p50 ms",
                    "p99": "p99 ms",
                    "load": "load generator, cores",
                },
                rows=[Row.of(name, rounds) for name, rounds in found.items()],
                plot="rate",
            )
        ],
        targets=[
            Target("share of the bare function", ratio(ours, ceiling, "rate"), 0.5, unit="%"),
            Target(
                "times the view over the ORM",
                ratio(ours, found[f"{_ORM}, {_UNIFORM}"], "rate"),
                2.5,
            ),
            Target("one wallet against all", ratio(hot, ours, "rate"), 0.7, unit="%"),
            Target("worst p99 in p50s", tail, 5.0, at_least=False),
        ],
        notes=[
            "The service keeps request keys, looks for earlier ones, validates strictly and "
            "answers in the envelope; the bare function does none of it. Asking for API keys is "
            "one query more.",
        ],
    )

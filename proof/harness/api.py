"""The service's API as a real server, and clients that repeat until they are answered."""

import http.client
import json
import socket
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

from proof.harness.processes import Process, until
from proof.harness.world import World

# What a client does not take for an answer: the server is away, busy, or at it already.
_ASK_AGAIN = frozenset({409, 429, 500, 502, 503, 504})


class ApiServer:
    """gunicorn with threads, as in production."""

    def __init__(self, here: World, *, threads: int = 8, url: str = "") -> None:
        self.port = _free_port()
        settings = {"DATABASE_URL": url} if url else {}
        self.process = Process(
            [
                *("-m", "gunicorn", "wallet.wsgi", "--workers", "1"),
                *("--threads", str(threads), "--bind", f"127.0.0.1:{self.port}"),
            ],
            log=here.directory / f"api-{self.port}",
            environment=here.environment(settings),
        )
        until("the API answers", lambda: self.ask("GET", "/health/")[0] == 200)

    def __enter__(self) -> "ApiServer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        key: str = "",
        timeout: float = 20.0,
    ) -> tuple[int, dict[str, Any]]:
        """Status and envelope; status 0 when nothing came back."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        try:
            connection.request(
                method, path, None if body is None else json.dumps(body), headers=headers
            )
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            return 0, {}
        finally:
            connection.close()

    def insist(
        self, path: str, body: Mapping[str, Any], *, seconds: float = 120.0
    ) -> tuple[int, dict[str, Any], int]:
        """POST under one key until there is an answer; also how often it was asked in all."""
        key = str(uuid.uuid4())
        answer: tuple[int, dict[str, Any]] = (0, {})
        asked = 0

        def answered() -> bool:
            nonlocal answer, asked
            asked += 1
            answer = self.ask("POST", path, body, key=key)
            return answer[0] not in _ASK_AGAIN | {0}

        until(f"POST {path} is answered", answered, seconds=seconds, every=0.05)
        return answer[0], answer[1], asked


def pour(api: ApiServer, wallet_id: int, amounts: Sequence[int], *, threads: int) -> int:
    """Deposit them all, several at once; return how often clients had to repeat themselves."""

    def deposit(amount: int) -> int:
        status, envelope, asked = api.insist(
            f"/api/wallets/{wallet_id}/deposit/", {"amount": amount}
        )
        if status != 201:
            raise AssertionError(f"a deposit was answered {status}: {envelope}")
        return asked - 1

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(deposit, amounts))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])

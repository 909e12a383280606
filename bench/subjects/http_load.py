"""Deposits over HTTP from a number of clients, each waiting for its answer before it goes on.

One thread and no HTTP library: this shares its processors with what it measures, so it has to be
cheap. It tells how much processor time it took itself.
"""

import argparse
import json
import random
import selectors
import socket
import time
from statistics import quantiles

_HEAD_END = b"\r\n\r\n"


class _Client:
    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._answer = b""
        self.started = 0.0

    def send(self, request: bytes, selector: selectors.BaseSelector) -> None:
        self.started = time.perf_counter()
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=30)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(self._socket, selectors.EVENT_READ, self)
        self._answer = b""
        self._socket.sendall(request)

    def receive(self, selector: selectors.BaseSelector) -> bytes | None:
        """The whole answer, or ``None`` until there is more of it."""
        if self._socket is None:
            raise ConnectionError("not connected")
        chunk = self._socket.recv(65_536)
        self._answer += chunk
        head, found, body = self._answer.partition(_HEAD_END)
        if not found:
            if not chunk:
                raise ConnectionError("closed before it answered")
            return None
        lower = head.lower()
        length = int(lower.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(body) < length:
            return None
        if b"connection: close" in lower:
            selector.unregister(self._socket)
            self._socket.close()
            self._socket = None
        return self._answer


def _request(wallet: int, key: str, api_key: str) -> bytes:
    body = b'{"amount": 5}'
    authorization = f"Authorization: Bearer {api_key}\r\n" if api_key else ""
    return (
        f"POST /api/wallets/{wallet}/deposit/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: application/json\r\nIdempotency-Key: {key}\r\n{authorization}"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def run(
    *, port: int, wallets: range, clients: int, seconds: float, api_key: str
) -> dict[str, float]:
    selector = selectors.DefaultSelector()
    chance = random.Random(7)
    prefix = f"{time.time_ns():x}"
    numbers = iter(range(1 << 62))
    latencies: list[float] = []

    def ask(client: _Client) -> None:
        wallet = wallets[chance.randrange(len(wallets))]
        client.send(_request(wallet, f"{prefix}-{next(numbers)}", api_key), selector)

    processor = time.process_time()
    begun = time.perf_counter()
    for _ in range(clients):
        ask(_Client(port))
    end = begun + seconds
    waiting = clients
    while waiting:
        for key, _ in selector.select():
            client: _Client = key.data
            answer = client.receive(selector)
            if answer is None:
                continue
            now = time.perf_counter()
            if not answer.startswith(b"HTTP/1.1 201"):
                raise SystemExit(answer.decode(errors="replace"))
            latencies.append(now - client.started)
            if now < end:
                ask(client)
            else:
                waiting -= 1
    took = time.perf_counter() - begun
    cuts = quantiles(latencies, n=100)
    return {
        "rate": len(latencies) / took,
        "p50": cuts[49] * 1_000,
        "p99": cuts[98] * 1_000,
        "load": (time.process_time() - processor) / took,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--wallets", type=int, required=True)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--api-key", default="")
    given = parser.parse_args()
    numbers = run(
        port=given.port,
        wallets=range(given.first, given.first + given.wallets),
        clients=given.clients,
        seconds=given.seconds,
        api_key=given.api_key,
    )
    print(json.dumps(numbers))


if __name__ == "__main__":
    main()

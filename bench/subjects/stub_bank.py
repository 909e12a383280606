"""A bank that pays everything after a fixed time, and costs as little as Python can.

The mock bank in third-party/ remembers, misbehaves and shows a ledger; this one must never be what
a payout waits for. ``GET /arrivals`` tells when each key came, by the system's clock.
"""

import argparse
import asyncio
import json
import time

_BODY = b'{"data":"success","status":200,"reference":"%08d"}'
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_PAID = _HEAD % len(_BODY % 0) + _BODY


class _Counter:
    def __init__(self, *, delay: float, remember: bool) -> None:
        self.delay = delay
        self.remember = remember
        self.paid = 0
        self.arrivals: dict[str, float] = {}


class _Connection(asyncio.Protocol):
    def __init__(self, counter: _Counter) -> None:
        self._counter = counter
        self._transport: asyncio.Transport | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        if head.startswith(b"GET"):
            self._received = b""
            self._tell()
            return
        length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._received = body[length:]
        self._pay(body[:length])

    def _pay(self, body: bytes) -> None:
        counter = self._counter
        counter.paid += 1
        if counter.remember:
            counter.arrivals[json.loads(body)["idempotency_key"]] = time.time()
        answer = _PAID % counter.paid
        if counter.delay > 0:
            asyncio.get_running_loop().call_later(counter.delay, self._answer, answer)
        else:
            self._answer(answer)

    def _tell(self) -> None:
        body = json.dumps(self._counter.arrivals).encode()
        self._answer(_HEAD % len(body) + body)

    def _answer(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)


async def _serve(port: int, counter: _Counter) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Connection(counter), "127.0.0.1", port, backlog=1_024
    )
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay", type=float, required=True, help="seconds")
    parser.add_argument("--remember", action="store_true")
    given = parser.parse_args()
    asyncio.run(_serve(given.port, _Counter(delay=given.delay, remember=given.remember)))


if __name__ == "__main__":
    main()

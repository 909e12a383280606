"""The ceiling for payouts: threads that call the bank with ``requests`` and do nothing else.

``--prepared`` prepares the request once for each session, which leaves out most of what
``requests`` does before it sends.
"""

import argparse
import json
import threading
import time
import uuid
from collections.abc import Callable
from queue import Empty, SimpleQueue

import requests

Call = Callable[[str], None]


def _body(key: str) -> dict[str, object]:
    owner = "00000000-0000-0000-0000-000000000000"
    return {"idempotency_key": key, "wallet_owner_ref": owner, "amount": 1, "currency": "IRR"}


def _headers(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key, "X-Idempotency-Key": key}


def _check(response: requests.Response) -> None:
    if response.status_code != 200 or response.json()["data"] != "success":
        raise SystemExit(f"the bank said {response.status_code} {response.text}")


def _plain(session: requests.Session, url: str) -> Call:
    def call(key: str) -> None:
        _check(session.post(url, json=_body(key), headers=_headers(key), timeout=30))

    return call


def _prepared(session: requests.Session, url: str) -> Call:
    session.trust_env = False
    request = session.prepare_request(
        requests.Request("POST", url, data=b"{}", headers={"Content-Type": "application/json"})
    )

    def call(key: str) -> None:
        request.body = body = json.dumps(_body(key)).encode()
        request.headers.update(_headers(key))
        request.headers["Content-Length"] = str(len(body))
        _check(session.send(request, timeout=30))

    return call


def run(*, url: str, threads: int, calls: int, prepared: bool) -> dict[str, float]:
    todo: SimpleQueue[str] = SimpleQueue()
    for _ in range(calls):
        todo.put(str(uuid.uuid4()))
    start = threading.Barrier(threads + 1)

    def work() -> None:
        session = requests.Session()
        call = _prepared(session, url) if prepared else _plain(session, url)
        start.wait()
        while True:
            try:
                key = todo.get_nowait()
            except Empty:
                return
            call(key)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    start.wait()
    begun, processor = time.perf_counter(), time.process_time()
    for worker in workers:
        worker.join()
    took = time.perf_counter() - begun
    return {"rate": calls / took, "cpu": (time.process_time() - processor) / calls * 1_000_000}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--prepared", action="store_true")
    given = parser.parse_args()
    print(
        json.dumps(
            run(
                url=given.url,
                threads=given.threads,
                calls=given.calls,
                prepared=given.prepared,
            )
        )
    )


if __name__ == "__main__":
    main()

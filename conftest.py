"""What ``wallets.tests.runner`` does for ``manage.py test``, for pytest."""

from collections.abc import Iterator

import pytest

from wallets.tests import secret_watch
from wallets.tests.flush import allow_flush


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> None:
    allow_flush()


@pytest.fixture(scope="session", autouse=True)
def _watched_log() -> None:
    secret_watch.listen()


@pytest.fixture(autouse=True)
def _no_secret_is_logged() -> Iterator[None]:
    yield
    leaks, secret_watch.leaks[:] = list(secret_watch.leaks), []
    if leaks:
        pytest.fail("A secret was logged: " + "; ".join(leaks))

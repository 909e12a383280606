"""What ``wallets.tests.runner`` does for ``manage.py test``, for pytest."""

import logging

import pytest

from wallets.tests.flush import allow_flush


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> None:
    allow_flush()


@pytest.fixture(scope="session", autouse=True)
def _quiet_log() -> None:
    logging.getLogger("wallets").setLevel(logging.CRITICAL)

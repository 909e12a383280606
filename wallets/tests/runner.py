"""The test runner of ``manage.py test``."""

import logging
from typing import Any

from django.test.runner import DiscoverRunner

from wallets.tests import secret_watch
from wallets.tests.flush import allow_flush


class LedgerTestRunner(DiscoverRunner):
    def setup_test_environment(self, **kwargs: Any) -> None:
        super().setup_test_environment(**kwargs)
        secret_watch.listen()

    def setup_databases(self, **kwargs: Any) -> Any:
        config = super().setup_databases(**kwargs)
        allow_flush()
        return config

    def suite_result(self, suite: Any, result: Any, **kwargs: Any) -> int:
        for leak in secret_watch.leaks:
            self.log(f"A secret was logged: {leak}", logging.ERROR)
        return int(super().suite_result(suite, result, **kwargs)) + len(secret_watch.leaks)

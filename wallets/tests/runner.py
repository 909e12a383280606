"""The test runner of ``manage.py test``."""

import logging
from typing import Any

from django.test.runner import DiscoverRunner

from wallets.tests.flush import allow_flush


class LedgerTestRunner(DiscoverRunner):
    def setup_test_environment(self, **kwargs: Any) -> None:
        super().setup_test_environment(**kwargs)
        # What a test expects to be logged it asserts; the rest would bury the results.
        logging.getLogger("wallets").setLevel(logging.CRITICAL)

    def setup_databases(self, **kwargs: Any) -> Any:
        config = super().setup_databases(**kwargs)
        allow_flush()
        return config

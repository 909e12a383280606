"""The test runner of ``manage.py test``."""

from typing import Any

from django.test.runner import DiscoverRunner

from wallets.tests.flush import allow_flush


class LedgerTestRunner(DiscoverRunner):
    def setup_databases(self, **kwargs: Any) -> Any:
        config = super().setup_databases(**kwargs)
        allow_flush()
        return config

"""Secrets stay out of the logs: what watches the whole run does find them."""

import logging

from django.conf import settings
from django.test import SimpleTestCase

from wallets.tests import secret_watch

KEY = "wlt_0123456789ab_" + "a" * 43
logger = logging.getLogger("wallets.tests.watched")


class SecretWatchTest(SimpleTestCase):
    def test_finds_a_secret_wherever_it_is_in_a_record(self) -> None:
        with secret_watch.on_purpose() as found:
            logger.info("a key: %s", KEY)
            logger.info("headers", extra={"headers": {"HTTP_AUTHORIZATION": f"Bearer {'x' * 40}"}})
            logger.error("failed", exc_info=ValueError(settings.SECRET_KEY))
            logging.getLogger("django.request").error("at postgres://wallet:pw@127.0.0.1/wallet")
        self.assertEqual(
            [each.split(" in the log")[0] for each in found],
            [
                "a key of the API",
                "an Authorization header",
                "DJANGO_SECRET_KEY",
                "a password in an address",
            ],
        )
        self.assertNotIn(KEY, str(found))

    def test_takes_nothing_else_for_one(self) -> None:
        with secret_watch.on_purpose() as found:
            logger.info("the key wlt_0123456789ab was refused, at http://127.0.0.1:8010/x")
        self.assertEqual(found, [])

"""Array literals: PostgreSQL reads back what was written, whatever is in it."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from unittest import skipUnless

from django.db import connection
from django.test import SimpleTestCase
from hypothesis import given, settings, strategies as st
from hypothesis.extra.django import TestCase as HypothesisTestCase

from wallets.domain.statements.arrays import array

texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    st.sampled_from(["", "NULL", "null", "{}", '"', "\\", "\\N", "a,b", " ", "'", "%s", "\n"]),
)


@skipUnless(connection.vendor == "postgresql", "arrays are PostgreSQL's")
class ArrayTest(HypothesisTestCase):
    @settings(deadline=None)
    @given(st.lists(st.one_of(texts, st.none()), max_size=5), st.booleans())
    def test_keeps_every_text(self, values: list[str | None], repeated: bool) -> None:
        self.assert_kept(values * 2 if repeated else values, "text[]")

    @settings(deadline=None)
    @given(st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.none()), max_size=5))
    def test_keeps_every_number(self, values: list[int | None]) -> None:
        self.assert_kept(values, "bigint[]")

    def test_keeps_truths_moments_and_uuids(self) -> None:
        moment = datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC)
        self.assert_kept([True, False, None], "boolean[]")
        self.assert_kept([moment, None, moment.replace(year=1999)], "timestamptz[]")
        self.assert_kept([uuid.UUID(int=7), uuid.UUID(int=8)], "uuid[]")

    def assert_kept(self, values: Sequence[object], type: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT %s::{type}", [array(values)])
            self.assertEqual(cursor.fetchone()[0], values)


class ShortcutTest(SimpleTestCase):
    def test_writes_the_same_with_and_without_its_shortcuts(self) -> None:
        self.assertEqual(array(["a", "b"]), '{"a","b"}')
        self.assertEqual(array(["a", 'b"']), '{"a","b\\""}')
        self.assertEqual(array(["a", None]), '{"a",NULL}')
        self.assertEqual(array([1, 1]), "{1,1}")
        self.assertEqual(array([]), "{}")

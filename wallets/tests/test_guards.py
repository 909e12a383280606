"""Guards that matter: the list fits the source, and tests do go red. All: proof/guards.py."""

import ast
import io
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

from django.db import connection
from django.test import SimpleTestCase

from proof.guard_list import GUARDS, POSTGRES, SQLITE, Edit, Guard
from proof.guards import Moved, edited, main, page, project_copy, try_without

ROOT = Path(__file__).resolve().parents[2]


class GuardListTest(SimpleTestCase):
    def test_it_fits_the_source(self) -> None:
        for guard in GUARDS:
            for edit in guard.edits:
                with self.subTest(guard.name):
                    source = (ROOT / edit.path).read_text()
                    ast.parse(edited(source, edit))

    def test_it_names_tests_that_exist(self) -> None:
        for guard in GUARDS:
            for test in guard.tests:
                path, *names = test.split("::")
                found: ast.AST = ast.parse((ROOT / path).read_text())
                for name in names:
                    with self.subTest(test):
                        found = next(
                            node
                            for node in ast.iter_child_nodes(found)
                            if isinstance(node, ast.ClassDef | ast.FunctionDef)
                            and node.name == name
                        )

    def test_it_names_each_guard_once(self) -> None:
        names = [guard.name for guard in GUARDS]
        self.assertEqual(len(names), len(set(names)))


class TakenAwayTest(SimpleTestCase):
    def test_it_sees_a_test_go_red_without_each_of_the_first_guards(self) -> None:
        database = POSTGRES if connection.vendor == "postgresql" else SQLITE
        said = io.StringIO()
        with redirect_stdout(said):
            code = main(["--often", "--database", database])
        self.assertEqual(code, 0, said.getvalue())

    def test_it_says_so_when_nobody_misses_a_guard(self) -> None:
        outcomes = "wallets/domain/outcomes.py"
        idle = Guard(
            "a comment",
            "nothing",
            (Edit(outcomes, "# Statuses that mean our own", "# Statuses which mean our own"),),
            ("wallets/tests/test_outcomes.py::RetryTests",),
            (SQLITE,),
        )
        with project_copy() as copy:
            tried = try_without(idle, SQLITE, "", copy)
            self.assertEqual((tried.red, tried.missing), ((), idle.tests))
            self.assertIn(f"| a comment | nothing | `{outcomes}` | - | - |", page([tried]))

    def test_it_refuses_an_edit_that_does_not_fit(self) -> None:
        for source in ("", "guard guard"):
            with self.subTest(source), self.assertRaises(Moved):
                edited(source, Edit("a.py", "guard", ""))

    def test_it_leaves_the_source_as_it_was_when_an_edit_does_not_fit(self) -> None:
        first = GUARDS[0].edits[0]
        torn = replace(GUARDS[0], edits=(first, replace(first, old="what is nowhere")))
        with project_copy() as copy:
            before = (copy / first.path).read_text()
            with self.assertRaises(Moved):
                try_without(torn, SQLITE, "", copy)
            self.assertEqual((copy / first.path).read_text(), before)

"""The rules of the house, checked on the source itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

from django.test import SimpleTestCase

ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "wallets"

# Which rooms each room may import from, besides itself.
ALLOWED = {
    "models": set(),
    "domain": {"models"},
    "integrations": {"domain.outcomes"},
    "tasks": {"integrations", "domain", "models"},
    "management": {"tasks", "integrations", "domain", "models"},
    "api": {"domain", "models"},
    "admin": {"domain", "models"},
    "migrations": set(),
}
LIBRARY_HOMES = {"requests": "integrations", "urllib3": "integrations", "rest_framework": "api"}
CLOCK_READS = {"now", "utcnow", "today", "time", "time_ns"}


def sources(*rooms: str) -> Iterator[tuple[str, ast.Module]]:
    for room in rooms or sorted(ALLOWED):
        for path in sorted((APP / room).rglob("*.py")):
            yield str(path.relative_to(APP)), ast.parse(path.read_text())


def imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


class ArchitectureTest(SimpleTestCase):
    def test_imports_point_one_way(self) -> None:
        for name, tree in sources():
            room = name.split("/")[0]
            for module, line in imports(tree):
                if not module.startswith("wallets."):
                    continue
                target = module.removeprefix("wallets.")
                allowed = ALLOWED[room] | {room}
                fits = any(target == each or target.startswith(f"{each}.") for each in allowed)
                self.assertTrue(fits, f"{name}:{line} imports {module}")

    def test_keeps_each_library_in_its_room(self) -> None:
        for name, tree in sources():
            for module, line in imports(tree):
                home = LIBRARY_HOMES.get(module.split(".")[0])
                self.assertIn(home, (None, name.split("/")[0]), f"{name}:{line} imports {module}")

    def test_catches_everything_only_where_a_thread_hands_it_on(self) -> None:
        for name, tree in sources():
            for node in ast.walk(tree):
                if not isinstance(node, ast.ExceptHandler) or name == "tasks/callers.py":
                    continue
                caught = ast.unparse(node.type) if node.type else "everything"
                self.assertNotIn(
                    caught, ("everything", "Exception", "BaseException"), f"{name}:{node.lineno}"
                )

    def test_reads_no_clock_in_the_domain(self) -> None:
        for name, tree in sources("domain"):
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    self.assertNotIn(node.func.attr, CLOCK_READS, f"{name}:{node.lineno}")

    def test_writes_balances_and_statuses_only_through_the_statements(self) -> None:
        for name, tree in sources():
            if name.startswith(("domain/statements/", "migrations/")):
                continue
            for node in ast.walk(tree):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                    continue
                if node.func.attr in ("update", "bulk_update"):
                    written = {keyword.arg for keyword in node.keywords}
                    self.assertFalse(written & {"balance", "status"}, f"{name}:{node.lineno}")

    def test_posts_to_the_ledger_from_one_module(self) -> None:
        for name, tree in sources("domain", "tasks", "api", "admin", "management"):
            if name.startswith("domain/statements/"):
                continue
            source = ast.unparse(tree)
            self.assertNotIn("LedgerEntry.objects.create", source, name)
            self.assertNotIn("LedgerEntry.objects.bulk_create", source, name)
            if name != "domain/ledger.py":
                self.assertNotIn("for_database().write(", source, name)

    def test_hides_no_import_inside_a_function(self) -> None:
        for name, tree in sources():
            for function in functions(tree):
                for node in ast.walk(function):
                    self.assertNotIsInstance(
                        node, ast.Import | ast.ImportFrom, f"{name}:{function.name}"
                    )

    def test_keeps_functions_short_enough_to_read(self) -> None:
        lengths = [
            ((function.end_lineno or 0) - function.lineno + 1, f"{name}:{function.name}")
            for name, tree in sources()
            for function in functions(tree)
        ]
        long = [each for each in lengths if each[0] > 40]
        self.assertLess(len(long) / len(lengths), 0.05, sorted(long, reverse=True))
        self.assertEqual([each for each in long if each[0] > 90], [])

    def test_names_files_by_subject(self) -> None:
        for path in APP.rglob("*.py"):
            self.assertNotIn(path.name, ("utils.py", "helpers.py", "common.py", "misc.py"))

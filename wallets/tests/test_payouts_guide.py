"""The operator's guide knows every alarm, every finding and every command."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from django.test import SimpleTestCase

from wallets.domain.reconciliation.findings import ALARMS, SENTENCES, Kind
from wallets.tasks.crash_points import CrashPoint

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "payouts.md").read_text(encoding="utf-8")
RAISING = ("_alarm", "_raise_alarm")


def alarm_codes() -> Iterator[str]:
    """What is given as ``alarm=`` or to the functions that raise one, anywhere in the source."""
    for path in (ROOT / "wallets").rglob("*.py"):
        if "tests" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "alarm":
                yield from _text(node.value)
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in RAISING:
                yield from _text(node.args[1])
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "").startswith(
                "AWAITING"
            ):
                yield from _text(node.value)


def _text(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


class GuideTest(SimpleTestCase):
    def assert_told(self, word: str) -> None:
        with self.subTest(word):
            self.assertIn(f"`{word}`", GUIDE)

    def test_says_what_to_do_about_every_alarm(self) -> None:
        codes = {*alarm_codes(), *ALARMS}
        self.assertGreater(len(codes), 15)
        for code in codes:
            self.assert_told(code)

    def test_explains_every_finding_of_a_reconciliation(self) -> None:
        self.assertEqual(set(SENTENCES), set(Kind))
        for kind in Kind:
            self.assert_told(kind.value)

    def test_names_settings_that_exist(self) -> None:
        settings = (ROOT / "wallet" / "settings.py").read_text(encoding="utf-8")
        for name in set(re.findall(r"`((?:BANK|RESOLVE|EXECUTOR|WITHDRAWAL)_[A-Z_]+)", GUIDE)):
            self.assertIn(f"\n{name} = ", settings)

    def test_names_commands_that_exist(self) -> None:
        commands = ROOT / "wallets" / "management" / "commands"
        for name in set(re.findall(r"manage\.py (\w+)", GUIDE)):
            self.assertTrue((commands / f"{name}.py").is_file(), name)

    def test_tells_what_recovers_from_each_crash_point(self) -> None:
        section = GUIDE.split("## What recovers from each crash")[1].split("\n## ")[0]
        self.assertGreaterEqual(section.count("\n| ") - 1, len(CrashPoint))

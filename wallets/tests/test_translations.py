"""Every text of ours exists in Persian, and the compiled catalogue is that of the source."""

import ast
import gettext
import re
from collections.abc import Iterator
from pathlib import Path

from django.test import SimpleTestCase
from django.utils.translation.template import templatize

APP = Path(__file__).resolve().parents[1]
CATALOGUE = APP / "locale" / "fa" / "LC_MESSAGES"
REMEDY = (
    "In wallets/: django-admin makemessages -l fa --add-location file --no-wrap, translate what is "
    "new in django.po, django-admin compilemessages, and commit both files."
)
# Names under which gettext's functions are called, and where their context and text stand.
SINGLE = {"_", "_now", "gettext", "gettext_lazy", "gettext_noop"}
WITH_CONTEXT = {"pgettext", "pgettext_lazy"}

Message = tuple[str | None, str]


def parse_po(text: str) -> dict[Message, str]:
    """Just what our file uses: no plural forms, no obsolete or fuzzy entries."""
    messages: dict[Message, str] = {}
    for block in re.split(r"\n\s*\n", text.strip()):
        parts: dict[str, str] = {}
        for keyword, quoted in re.findall(r'^(msg\w+) ((?:".*"\s*)+)', block, flags=re.MULTILINE):
            parts[keyword] = "".join(ast.literal_eval(line) for line in quoted.splitlines())
        messages[parts.get("msgctxt"), parts["msgid"]] = parts["msgstr"]
    return messages


def messages_in_code(tree: ast.Module) -> Iterator[Message]:
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
        if node.func.id in SINGLE and texts:
            yield None, str(texts[0])
        elif node.func.id in WITH_CONTEXT and len(texts) == 2:
            yield str(texts[0]), str(texts[1])


def used_messages() -> dict[Message, str]:
    used: dict[Message, str] = {}
    for path in sorted(APP.rglob("*.py")):
        if "tests" not in path.parts and "migrations" not in path.parts:
            for message in messages_in_code(ast.parse(path.read_text(encoding="utf-8"))):
                used[message] = str(path.relative_to(APP))
    for path in sorted((APP / "templates").rglob("*.html")):
        # What Django gives to xgettext: C-like text with the calls in it.
        code = templatize(path.read_text(encoding="utf-8"))
        for literal in re.findall(r"""\bgettext\(\s*u?((["']).*?(?<!\\)\2)\s*\)""", code):
            used[None, ast.literal_eval(literal[0])] = str(path.relative_to(APP))
        for literal in re.findall(r"""(?<!\w)_\(\s*u?((["']).*?(?<!\\)\2)\s*\)""", code):
            used[None, ast.literal_eval(literal[0])] = str(path.relative_to(APP))
    return used


class CatalogueTest(SimpleTestCase):
    def setUp(self) -> None:
        self.text = (CATALOGUE / "django.po").read_text(encoding="utf-8")
        self.messages = parse_po(self.text)
        self.messages.pop((None, ""))

    def test_has_every_text_of_ours_in_persian(self) -> None:
        for message, where in used_messages().items():
            with self.subTest(where, message=message):
                self.assertTrue(self.messages.get(message), REMEDY)

    def test_has_no_text_that_nobody_uses(self) -> None:
        self.assertEqual(set(self.messages) - set(used_messages()), set(), REMEDY)

    def test_has_no_guesses_and_no_leftovers(self) -> None:
        for mark in ("fuzzy", "#~", "msgid_plural"):
            self.assertNotIn(mark, self.text, REMEDY)

    def test_keeps_the_places_that_are_filled_in(self) -> None:
        for (_, english), persian in self.messages.items():
            with self.subTest(english):
                places = [sorted(re.findall(r"%\(\w+\)s", text)) for text in (english, persian)]
                self.assertEqual(places[0], places[1])

    def test_is_compiled_as_it_is_written(self) -> None:
        with (CATALOGUE / "django.mo").open("rb") as file:
            compiled = gettext.GNUTranslations(file)
        told = {
            message: (
                compiled.pgettext(message[0], message[1])
                if message[0]
                else compiled.gettext(message[1])
            )
            for message in self.messages
        }
        self.assertEqual(told, self.messages, REMEDY)
        # The header and nothing else is left over.
        self.assertEqual(len(compiled._catalog), len(self.messages) + 1, REMEDY)  # type: ignore[attr-defined]

    def test_finds_texts_in_code_and_templates(self) -> None:
        used = used_messages()
        for message in (
            ("currency", "IRR"),
            (None, "What happened"),
            (None, "execute at"),
            (None, "more than %(count)s %(name)s"),
        ):
            self.assertIn(message, used)

"""What the API itself refuses, before the domain is asked."""

from dataclasses import dataclass
from typing import Any

from wallets.api.catalogue import CATALOGUE

# A body can hold tens of thousands of wrong fields; the answer names the first few.
_MOST_PROBLEMS = 20
_LONGEST_NAME = 64


class Refusal(Exception):
    """The request is answered with ``code``, ``detail`` and further ``data``."""

    def __init__(
        self, code: str, detail: str, *, headers: dict[str, str] | None = None, **data: Any
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.data = data
        self.headers = headers or {}


class Unfit(Exception):
    """A value does not fit its field; ``detail`` continues a sentence that names the field."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Problem:
    """One field that is wrong: ``place`` is body, query or header."""

    place: str
    field: str
    code: str
    detail: str

    def as_json(self) -> dict[str, Any]:
        return {
            "in": self.place,
            "field": _shortened(self.field),
            "code": self.code,
            "detail": self.sentence,
            "message": CATALOGUE[self.code].message.as_json(),
        }

    @property
    def sentence(self) -> str:
        return f"{_shortened(self.field)} {self.detail}"


class InvalidFields(Exception):
    """One answer for all the fields that are wrong."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(problem.sentence for problem in problems[:_MOST_PROBLEMS]))
        self.problems = problems[:_MOST_PROBLEMS]


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "..."

"""Opaque positions in a list that is ordered by id, newest first."""

from dataclasses import dataclass

from django.core.signing import BadSignature, Signer

from wallets.api.refusals import Unfit


@dataclass(frozen=True, slots=True)
class Cursor:
    """Older: the rows with ids below ``id``. Newer: those above."""

    older: bool
    id: int


class Cursors:
    """The cursors of one list. Signed, so that one for another list, or a made-up one, is refused
    instead of quietly showing the wrong page."""

    def __init__(self, scope: str) -> None:
        self._signer = Signer(salt=f"wallets.api.cursors:{scope}")

    def write(self, cursor: Cursor) -> str:
        return self._signer.sign(f"{'o' if cursor.older else 'n'}{cursor.id}").replace(":", ".")

    def read(self, text: str) -> Cursor:
        """Raises ``Unfit``."""
        position, _, signature = text.partition(".")
        try:
            value = self._signer.unsign(f"{position}:{signature}")
        except BadSignature as error:
            raise Unfit("cursor_invalid", "was not issued for this list") from error
        return Cursor(older=value[0] == "o", id=int(value[1:]))

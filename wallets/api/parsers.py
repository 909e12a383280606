"""The one format bodies come in: a JSON object, read strictly."""

import json
import re
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework.parsers import BaseParser

from wallets.api.refusals import Refusal

_CHARSETS = {"utf-8", "utf8"}
# More digits than any amount has. Only so many are read, because reading a number of n digits
# takes n squared steps; what is left is still out of every range.
_MOST_DIGITS = 32
_SEPARATED = re.compile(r"[0-9][,_'٬،]\s*\Z")


class StrictJSONParser(BaseParser):
    """Refuses what lenient readers disagree about: repeated names, NaN, other encodings."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Raises ``Refusal``."""
        request = (parser_context or {})["request"]
        _check_encoding(request)
        text = _decode(_read(stream, int(request.META["CONTENT_LENGTH"])))
        body = _load(text)
        if not isinstance(body, dict):
            raise Refusal("body_not_object", f"The body is a JSON {_json_type(body)}.")
        return body


def check_framing(meta: Mapping[str, Any]) -> None:
    """Raises ``Refusal``: a chunked body would be taken for an empty one, and together with a
    Content-Length it is how requests are smuggled."""
    if meta.get("HTTP_TRANSFER_ENCODING"):
        raise Refusal("length_required", "The body was sent with Transfer-Encoding.")


def _check_encoding(request: Any) -> None:
    charset = request.content_params.get("charset", "utf-8").lower()
    encoding = request.META.get("HTTP_CONTENT_ENCODING", "identity").lower()
    if charset not in _CHARSETS or encoding not in ("", "identity"):
        raise Refusal("unsupported_media_type", "The body must be plain UTF-8, uncompressed.")


def _read(stream: IO[bytes], length: int) -> bytes:
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if length > most:
        raise Refusal("body_too_large", f"The body has {length} bytes.", max_bytes=most)
    body = stream.read(length)
    if len(body) < length:
        raise Refusal("body_incomplete", f"{len(body)} bytes of the announced {length} arrived.")
    return body


def _decode(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal("body_not_utf8", f"Byte {error.start} of the body is not UTF-8.") from error


def _load(text: str) -> Any:
    try:
        return _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise _malformed(text, error) from error
    except RecursionError as error:
        raise Refusal("json_too_deep", "The body is nested too deeply.") from error


def _malformed(text: str, error: json.JSONDecodeError) -> Refusal:
    where = f"line {error.lineno}, column {error.colno}"
    found = text[error.pos : error.pos + 1]
    foreign_digit = found.isdecimal() and not found.isascii()
    # Where the reader stops at 1,000 depends on the separator: behind a comma, else before it.
    up_to_here = text[max(0, error.pos - 8) : error.pos]
    separated = found.isdecimal() and _SEPARATED.search(up_to_here)
    next_one = text[error.pos + 1 : error.pos + 2]
    separator = next_one.isdecimal() and _SEPARATED.search(up_to_here + found)
    if foreign_digit or separated or separator:
        return Refusal("number_not_plain", f"A number is not plain digits 0-9: {where}.")
    return Refusal("malformed_json", f"The body is not valid JSON: {error.msg}: {where}.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise Refusal("duplicate_key", "A field appears twice in the body.")
    return result


def _integer(digits: str) -> int:
    return int(digits[:_MOST_DIGITS])


def _no_constant(name: str) -> Any:
    raise Refusal("malformed_json", f"{name} is not JSON.")


_decoder = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_constant=_no_constant
)


def _json_type(value: object) -> str:
    return {list: "array", str: "string", bool: "boolean", type(None): "null"}.get(
        type(value), "number"
    )

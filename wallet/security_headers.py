"""Headers that tell browsers to do less, on every answer whoever made it."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

GetResponse = Callable[[HttpRequest], HttpResponseBase]

# Nothing to run and nothing to load: what an API answers is data, also to a browser.
DATA_POLICY = (
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox"
)
# The admin has its scripts and styles in files, and shows small images from inside of styles.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_DATA_TYPES = ("application/json", "application/yaml", "text/csv")


class SecurityHeadersMiddleware:
    """First in the list, so that answers made by other middleware have the headers, too.

    A view that needs another Content-Security-Policy sets its own.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        for name, value in _ALWAYS.items():
            response.headers.setdefault(name, value)
        if response.headers.get("Content-Type", "").startswith(_DATA_TYPES):
            response.headers.setdefault("Content-Security-Policy", DATA_POLICY)
            # Balances are nobody's to keep.
            response.headers.setdefault("Cache-Control", "no-store")
        else:
            response.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
        return response

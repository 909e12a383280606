from typing import Any

from django.urls import Resolver404, resolve
from rest_framework.request import Request

from wallets.api.refusals import Refusal
from wallets.api.views.base import PublicView


class NothingHereView(PublicView):
    """Answers for every path under the API's roots that nothing else answers for.

    A path without its closing slash is not redirected: a redirected POST loses its body.
    """

    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if _exists(request.path_info + "/"):
            raise Refusal("not_found", "There is nothing here; the path needs a closing slash.")
        raise Refusal("not_found", "There is nothing at this path.")


def _exists(path_info: str) -> bool:
    try:
        found = resolve(path_info)
    except Resolver404:
        return False
    return getattr(found.func, "cls", None) is not NothingHereView

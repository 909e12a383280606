"""Which requests are the API's, and so are answered in the envelope whatever happens."""

_ROOTS = ("/api", "/health")


def is_api(path_info: str) -> bool:
    return path_info.startswith(("/api/", "/health/")) or path_info in _ROOTS

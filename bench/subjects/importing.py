"""Import what a process of the service imports, and tell what that takes."""

import argparse
import importlib
import json
import resource
import time


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("modules", nargs="+")
    given = parser.parse_args()
    begun = time.perf_counter()
    for name in given.modules:
        importlib.import_module(name)
        if name == "django":
            importlib.import_module("django").setup()
    took = time.perf_counter() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
    print(json.dumps({"ms": took * 1_000, "mib": memory}))


if __name__ == "__main__":
    main()

"""The mock bank of the wallet service: ``python3 app.py``, then see ``--help`` and the README."""

import sys

# Said here, where an older Python still understands it.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("The mock bank needs Python 3.11 or newer.")

from bank.command import main

if __name__ == "__main__":
    sys.exit(main())

"""The payout protocol as a finite machine, every reachable state of which is looked at.

Our side is not retyped: the steps call the domain's own pure functions (``model.ours``). The bank,
the network, the crashes and the clock are written here, as hostile as DESIGN allows them to be.
"""

import os

import django
from django.apps import apps

# The domain imports the models, which need settings; no database is touched.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "wallet.settings")
if not apps.ready:
    django.setup()

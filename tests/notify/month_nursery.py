"""Preloaded by the fork server of the month and by nothing else: what every life would do again is done once."""

import pytest  # noqa: F401 - a child imports the program's main module

from tests.notify.month_server import warm

warm()

"""The tests that the documentation shows, run on the testbeds that they declare.

Their topologies are equal to those of the other integration tests, so they share their testbeds.
"""

from __future__ import annotations

import re

from tests.support.documents import examples, execute
from tests.support.topologies import PAIR, TRIANGLE

SHARED = [(PAIR,), (TRIANGLE,)]

for _place, _text in examples().items():
    _names = execute(_place, _text)
    _where = re.sub(r"\W", "_", _place)
    for _name, _value in _names.items():
        if not _name.startswith("test_"):
            continue
        _module = _names.get("pytestmark")
        if any(mark.args in SHARED for mark in getattr(_value, "pytestmark", [])):
            globals()[f"{_name}_{_where}"] = _value
        elif _module is not None and _module.args in SHARED:
            globals()[f"{_name}_{_where}"] = _module(_value)

"""The tests that the documentation shows, run on the testbeds that they declare.

Their topologies are equal to those of the other integration tests, so they share their testbeds.
"""

from __future__ import annotations

import re

from tests.support.documents import examples, execute

for _place, _text in examples().items():
    _names = execute(_place, _text)
    _mark = _names.get("pytestmark")
    for _name, _value in _names.items():
        if not _name.startswith("test_") or "def test_on_both" in _text:
            continue
        _where = re.sub(r"\W", "_", _place)
        globals()[f"{_name}_{_where}"] = _mark(_value) if _mark else _value

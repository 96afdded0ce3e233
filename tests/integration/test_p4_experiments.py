"""The experiments of examples/p4, each on its own testbed of devices and the native engine."""

from __future__ import annotations

import inspect

import pytest

from tests.support.documents import examples, execute
from tests.support.p4_experiments import EXPERIMENTS, module_of, topology_of

pytestmark = [pytest.mark.slow, pytest.mark.beside]

pytest.register_assert_rewrite(*(f"examples.p4.test_{name}" for name in EXPERIMENTS))

for _name in EXPERIMENTS:
    _module = module_of(_name)
    for _key, _value in vars(_module).items():
        if _key.startswith("test_") and inspect.isfunction(_value):
            globals()[f"test_{_name}_{_key.removeprefix('test_')}"] = _module.pytestmark(_value)
        elif isinstance(_value, type(pytest.fixture(lambda: None))):
            globals()[_key] = _value


@pytest.mark.topology(topology_of("int"), engine="direct")
def test_int_as_documented(kinda):
    (names,) = (
        execute(place, text)
        for place, text in examples().items()
        if place.startswith("p4-experiments.md")
    )
    names["test_where_the_time_goes"](kinda)

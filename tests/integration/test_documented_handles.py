"""The examples of docs/handles/, run on the testbeds that they are written for."""

import pytest

from tests.support.documents import examples, execute
from tests.support.topologies import PAIR, TRIANGLE


def functions(ending):
    found = {}
    for place, text in examples().items():
        if place.startswith("handles/"):
            for name, value in execute(place, text).items():
                if name.startswith("test_") and name.endswith(ending):
                    found[name] = value
    return found


ON_DEVICES = functions("_on_devices")
ON_A_CLUSTER = functions("_on_a_cluster")


@pytest.mark.topology(PAIR)
@pytest.mark.parametrize("name", ON_DEVICES)
def test_on_devices(kinda, name):
    ON_DEVICES[name](kinda)


@pytest.mark.topology(TRIANGLE)
@pytest.mark.parametrize("name", ON_A_CLUSTER)
def test_on_a_cluster(kinda, name):
    ON_A_CLUSTER[name](kinda)


def test_no_example_is_left_out():
    """A test with another ending would be read and never run."""
    told = {
        name
        for place, text in examples().items()
        if place.startswith("handles/")
        for name in execute(place, text)
        if name.startswith("test_")
    }
    assert told
    assert told == {*ON_DEVICES, *ON_A_CLUSTER}

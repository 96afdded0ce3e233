import shutil

from pytest_kinda.testbed.commands import CommandPlace
from pytest_kinda.testbed.reachability import Reachability, ping_all
from tests.support.local import LocalExecution


def test_a_full_table_is_truthy_and_a_hole_is_named():
    full = Reachability({("a", "b"): True, ("b", "a"): True})
    assert full
    hole = full | Reachability({("a", "c"): False}, ("c",))
    assert not hole
    assert hole.missing == (("a", "c"),)
    assert "NO" in str(hole)
    assert "no ping on c" in str(hole)


def test_ping_all_says_which_addresses_answer():
    place = CommandPlace("here", LocalExecution())
    assert ping_all(place, []) == frozenset()
    if shutil.which("ping") is None:
        assert ping_all(place, ["127.0.0.1"]) is None
        return
    found = ping_all(place, ["127.0.0.1", "127.0.0.2", "240.0.0.1"], wait=0.5)
    assert found == {"127.0.0.1", "127.0.0.2"}
    assert ping_all(place, ["127.0.0.1"], source="127.0.0.3", wait=0.5) == {"127.0.0.1"}

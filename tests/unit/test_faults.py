import pytest

from pytest_kinda.errors import HostError
from pytest_kinda.testbed.faults import Faults, Ledger


def test_a_fault_bites_and_heals_once():
    done = []
    ledger = Ledger()
    with ledger.inflict("cut", lambda: done.append("bite"), lambda: done.append("heal")) as fault:
        assert done == ["bite"]
        assert ledger.open == (fault,)
    fault.heal()
    assert done == ["bite", "heal"]
    assert fault.healed
    assert ledger.open == ()


def test_what_a_test_left_is_healed_newest_first_past_errors():
    done = []
    ledger = Ledger()

    def fail():
        raise HostError("the namespace is gone")

    for name, heal in (
        ("one", lambda: done.append(1)),
        ("two", fail),
        ("three", lambda: done.append(3)),
    ):
        ledger.inflict(name, lambda: None, heal)
    errors = ledger.heal_all()
    assert done == [3, 1]
    assert errors == ("two: the namespace is gone",)
    assert [fault.what for fault in ledger.open] == ["two"]


def test_a_bite_that_fails_half_way_is_healed():
    done = []
    ledger = Ledger()

    def bite():
        raise HostError("no such interface")

    with pytest.raises(HostError, match="no such interface"):
        ledger.inflict("cut", bite, lambda: done.append("heal"))
    assert done == ["heal"]
    assert ledger.open == ()


def test_several_heal_together():
    done = []
    ledger = Ledger()
    faults = [ledger.inflict(str(n), lambda: None, lambda n=n: done.append(n)) for n in range(3)]
    with Faults(faults):
        pass
    assert done == [2, 1, 0]

"""Faults of links: which operations they ask for, whatever the order of healing."""

from types import SimpleNamespace

import pytest

from pytest_kinda.errors import HostError
from pytest_kinda.operations import SetCarrier, SetShape, Shape
from pytest_kinda.plan.values import InterfacePlan
from pytest_kinda.testbed.faults import Ledger
from pytest_kinda.testbed.interfaces import InterfaceHandle
from pytest_kinda.testbed.networkfaults import NetworkFaults

DECLARED = Shape(rate=100_000_000)


class Journal:
    def __init__(self):
        self.done = []
        self.open = set()
        self.fail = False

    def apply(self, operations):
        if self.fail:
            raise HostError("refused")
        numbers = range(len(self.done), len(self.done) + len(operations))
        self.done += operations
        self.open.update(numbers)
        return tuple(numbers)

    def settled(self, numbers):
        self.open.difference_update(numbers)


@pytest.fixture
def journal():
    return Journal()


@pytest.fixture
def faults(journal):
    return NetworkFaults(Ledger(), journal)


class Node:
    """Answers what healing looks at."""

    def __init__(self, name, *, qdiscs=("qdisc tbf 1:",), carrier="1"):
        self.name = name
        self.qdiscs = list(qdiscs)
        self.carrier = carrier

    def exec(self, program, *argv, check):
        if program == "tc":
            text = self.qdiscs.pop(0) if len(self.qdiscs) > 1 else self.qdiscs[0]
            return SimpleNamespace(stdout=text)
        return SimpleNamespace(lines=[self.carrier], stderr="")


def end(node, shape=DECLARED, **answers):
    return InterfaceHandle(Node(node, **answers), InterfacePlan("eth1", "s", "", shape=shape))


def test_a_cut_takes_both_carriers_and_gives_them_back(faults, journal):
    with faults.cut("down", [end("r1"), end("r2")]):
        assert journal.done == [SetCarrier("r1", "eth1", False), SetCarrier("r2", "eth1", False)]
        assert journal.open == {0, 1}
    assert journal.done[2:] == [SetCarrier("r1", "eth1", True), SetCarrier("r2", "eth1", True)]
    assert journal.open == set()


def test_two_cuts_of_one_link_need_both_to_heal(faults, journal):
    first = faults.cut("first", [end("r1")])
    second = faults.cut("second", [end("r1")])
    first.heal()
    assert SetCarrier("r1", "eth1", True) not in journal.done
    second.heal()
    assert journal.done[-1] == SetCarrier("r1", "eth1", True)
    assert journal.open == set()


def test_impairments_heal_in_any_order_to_what_was_declared(faults, journal):
    first = faults.impair("slow", [end("r1")], {"rate": 1_000_000})
    second = faults.impair("late", [end("r1")], {"delay": 5})
    both = Shape(rate=1_000_000, delay=5)
    assert journal.done[-1] == SetShape("r1", "eth1", both, Shape(rate=1_000_000))
    first.heal()
    assert journal.done[-1] == SetShape("r1", "eth1", Shape(rate=100_000_000, delay=5), both)
    second.heal()
    assert journal.done[-1].shape == DECLARED
    assert faults.shape_of(end("r1")) == DECLARED
    assert journal.open == set()


def test_zero_takes_what_was_declared_away(faults, journal):
    lossy = Shape(loss=0.5)
    with faults.impair("clean", [end("r1", lossy)], {"loss": 0.0}):
        assert journal.done == [SetShape("r1", "eth1", Shape(), lossy)]
    assert journal.done[-1].shape == lossy


def test_an_impairment_that_is_refused_leaves_nothing(faults, journal):
    journal.fail = True
    with pytest.raises(HostError, match="refused"):
        faults.impair("late", [end("r1")], {"delay": 5})


def test_healing_is_looked_at(faults):
    fault = faults.impair("slow", [end("r1", qdiscs=["before", "after"])], {"rate": 1_000_000})
    with pytest.raises(HostError, match="expected 'before', found 'after'"):
        fault.heal()

"""The experiments of examples/scheduling, small: on labs, and on devices where packets count."""

from __future__ import annotations

import pytest

from examples.scheduling import offload, thousand_nodes
from pytest_kinda import Host, Lab
from pytest_kinda.experiment import read_rows
from pytest_kinda.experiment.cleanliness import await_clean
from pytest_kinda.plugin.experiments import EXPERIMENTS

FABRIC = thousand_nodes.fabric(leaves=3, each=3)
pytestmark = [pytest.mark.slow, pytest.mark.beside]


@pytest.fixture(scope="module")
def fabric():
    with Lab(FABRIC) as found:
        yield found


@pytest.mark.kinda_experiment(arms={"blind": 0, "leaf": 100}, repetitions=1, warmup=0)
def test_two_profiles_in_a_lab(fabric, trial, request):
    await_clean(fabric)
    placed = thousand_nodes.run_applications(fabric, trial, applications=2, pods=5)
    fabric.put_back()
    assert len(placed) == 10
    rows = read_rows(request.config.stash[EXPERIMENTS].directory)
    mine = [one for one in rows if one.row == "value" and one.arm == trial.arm]
    values = {
        one.metric: one.value for one in mine if "test_two_profiles_in_a_lab" in one.experiment
    }
    assert (values["leaves of an application"] == 1) is (trial.arm == "leaf"), str(placed)
    assert (values["cost of a pair"] <= 2) is (trial.arm == "leaf"), values


@pytest.fixture(scope="module")
def offloading():
    with Lab(offload.OFFLOAD) as found:
        yield found
        found.put_back()  # its switch is only declared


def test_a_switch_that_answers_changes_where_pods_go(offloading):
    """The real scheduler and the declared links; what requests really take is the next test's."""
    node, costs = offload.place(offloading, share=0)
    assert (node, costs) == ("w2", {"w1": 102, "w2": 41})
    node, costs = offload.place(offloading, share=offload.SHARE)
    assert (node, costs["w2"]) == ("w1", 41)
    assert costs["w1"] == pytest.approx(0.9 * 1 + 0.1 * 102)


@pytest.mark.topology(offload.network(Host), engine="direct")
def test_what_requests_take_is_as_the_costs_say(kinda):
    """Delays are least ones: a busy machine adds to them."""
    far, served = offload.ask(kinda, "w1", helped=False)
    assert min(far) >= 20
    assert served == 10
    near, served = offload.ask(kinda, "w2", helped=False)
    assert min(near) >= 8
    assert served == 10
    answered, served = offload.ask(kinda, "w1", helped=True)
    assert served == 1
    assert min(answered) < 8, "the switch did not answer by itself"
    assert answered[-1] >= 20  # for the cold key
    _, served = offload.ask(kinda, "w2", helped=True)
    assert served == 10

import pytest

from pytest_kinda.errors import KindaError
from pytest_kinda.plan.values import LinkPlan, Member
from pytest_kinda.testbed.partition import cut_between


def link(a, b, name=""):
    return LinkPlan(name or f"{a}--{b}", Member(a, "eth0"), Member(b, "eth0"), "s")


LINKS = (
    link("w1", "r1"),
    link("w2", "r2"),
    link("w3", "r2"),
    link("r1", "r2", "one"),
    link("r1", "r2", "two"),
)


def test_the_fewest_links_are_cut():
    assert cut_between(LINKS, {"w1"}, {"w2", "w3"}) == ["w1--r1"]
    assert cut_between(LINKS, {"w1", "r1"}, {"w2", "r2"}) == ["one", "two"]
    assert cut_between(LINKS, {"w2"}, {"w3"}) in (["w2--r2"], ["w3--r2"])


@pytest.mark.parametrize("groups", [({"w1"}, {"w1", "w2"}), ({"w1"}, set())])
def test_groups_that_are_none(groups):
    with pytest.raises(KindaError, match="a partition needs"):
        cut_between(LINKS, *groups)


def test_nodes_without_a_path_need_no_cut():
    assert cut_between((link("a", "b"), link("c", "d")), {"a"}, {"c"}) == []

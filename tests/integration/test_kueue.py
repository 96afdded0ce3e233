"""Kueue on a lab: gangs share a rack, or wait and say why; nothing of it is left."""

from __future__ import annotations

import pytest

from pytest_kinda import Lab
from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.errors import FactsError
from pytest_kinda.generators import leaf_spine
from pytest_kinda.setup.scheduling import KUEUE
from tests.support.documents import examples, execute

pytestmark = [pytest.mark.slow, pytest.mark.beside]


@pytest.fixture(scope="module")
def standing():
    if not KUEUE.program.exists():
        pytest.skip("kueue is not built here")
    with Lab(leaf_spine(1, 3, 3)) as found:
        yield found


@pytest.fixture
def kinda(standing):
    yield standing
    standing.put_back()


def test_gangs_share_a_rack_or_wait(kinda):
    one_a_node = {"cpu": "5"}
    with kinda.kueue(levels=["rack", "fabric"]) as kueue:
        with pytest.raises(FactsError, match="'room'; expected one of the levels rack, fabric"):
            kueue.gang("odd", 2, within="room")
        for name in ("first", "second"):
            gang = kueue.gang(name, 3, within="rack", requests=one_a_node).wait()
            placed = gang.placements
            assert placed.together("level1"), str(placed)
            assert len(placed.nodes) == 3
            assert gang.reason == ""
        # leaf1 has w1 and w2 only: its third node is the control plane, which is tainted
        third = kueue.gang("third", 3, within="rack", requests=one_a_node)
        assert "allows to fit only 2 out of 3 pod(s)" in third.wait_refused()
        assert not third.admitted
        assert len(third.placements) == 0  # they are not even made
        kinda.cluster.delete("job/first")
        assert third.wait().placements.together("level1")
    assert not kinda.faults

    def there() -> str:
        groups = [one["name"] for one in kinda.cluster.api.get("/apis")["groups"]]
        return "kueue.x-k8s.io" if "kueue.x-k8s.io" in groups else ""

    wait_until(there, "the end of kueue's kinds", limit=60)
    labels = kinda.cluster.get("node/w1")["metadata"]["labels"]
    assert not [key for key in labels if key.startswith("network.pytest-kinda/")]
    assert not [*kinda.directory.glob("kueue*")]


def test_the_documented_gang(kinda):
    (text,) = [one for place, one in examples().items() if place.startswith("kueue.md")]
    execute("kueue.md", text)["test_a_gang_shares_a_rack"](kinda)
    assert not kinda.faults

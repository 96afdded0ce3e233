"""An application as a graph of pods that talk: what its edges really get from the network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import repeat
from typing import TYPE_CHECKING, Any

from pytest_kinda.errors import ExperimentError
from pytest_kinda.testbed.traffic import iperf, ping
from pytest_kinda.units import Rate, format_rate, parse_duration, parse_rate

if TYPE_CHECKING:
    from pytest_kinda.testbed.pods import PodHandle
    from pytest_kinda.testbed.testbed import Testbed

Edge = tuple[str, str] | tuple[str, str, Mapping[str, str]]
_PORT = 5201
_PINGS = 5


@dataclass(frozen=True)
class EdgeWish:
    """What one workload sends to another: ``rate`` in bit/s, ``latency`` in ns; 0 is any."""

    source: str
    target: str
    rate: int = 0
    latency: int = 0


@dataclass(frozen=True)
class EdgeResult:
    """What an edge got while all of them talked at once.

    ``rate`` is the payload's in bit/s, ``latency_ms`` the mean round trip before that; nodes are
    those of the pods.
    """

    wish: EdgeWish
    source_node: str
    target_node: str
    rate: float
    latency_ms: float

    @property
    def satisfied(self) -> bool:
        """Whether it got what it asked for; of its rate 95 %, since headers take their part."""
        wish = self.wish
        slow = wish.latency and self.latency_ms * 1e6 > wish.latency
        return not slow and self.rate >= 0.95 * wish.rate


@dataclass(frozen=True)
class GraphResult:
    """What all edges got. Truthy when each got what it asked for; its text is a table."""

    edges: tuple[EdgeResult, ...]

    @property
    def satisfied(self) -> float:
        """The share of edges that got what they asked for, from 0 to 1."""
        return sum(one.satisfied for one in self.edges) / len(self.edges)

    @property
    def rate(self) -> float:
        """What all edges carried together, in bit/s."""
        return sum(one.rate for one in self.edges)

    @property
    def worst_latency_ms(self) -> float:
        """The longest round trip of any edge."""
        return max(one.latency_ms for one in self.edges)

    def __bool__(self) -> bool:
        return all(one.satisfied for one in self.edges)

    def __str__(self) -> str:
        lines = []
        for one in self.edges:
            places = f"{one.source_node} -> {one.target_node}"
            got = f"{one.rate / 1e6:.3g} Mbit/s, {one.latency_ms:.3g} ms"
            lines.append(
                f"{one.wish.source} -> {one.wish.target}  {places}  {got}  {_asked(one.wish)}"
                f"{'' if one.satisfied else '  NOT SATISFIED'}"
            )
        return "\n".join(lines)


class AppGraph:
    """A pod for each workload, and edges between them that can be loaded."""

    def __init__(self, wishes: Sequence[EdgeWish], pods: Mapping[str, PodHandle]) -> None:
        self.edges = tuple(wishes)
        self.pods = dict(pods)

    def measure(self, seconds: int = 2) -> GraphResult:
        """Round trips of each edge, then TCP over all edges at once, each at the rate it asks for.

        An edge without a rate sends what it can. ``seconds`` are whole ones. Raises CommandError,
        KindaError.
        """
        with ThreadPoolExecutor(len(self.edges), thread_name_prefix="edges") as pool:
            latencies = list(pool.map(self._latency, self.edges))
            ports = range(_PORT, _PORT + len(self.edges))
            rates = list(pool.map(self._rate, self.edges, ports, repeat(seconds)))
        nodes = {name: str(pod.read()["spec"]["nodeName"]) for name, pod in self.pods.items()}
        return GraphResult(
            tuple(
                EdgeResult(wish, nodes[wish.source], nodes[wish.target], rate, latency)
                for wish, rate, latency in zip(self.edges, rates, latencies, strict=True)
            )
        )

    def _latency(self, wish: EdgeWish) -> float:
        found = ping(self.pods[wish.source], self.pods[wish.target], count=_PINGS, interval=0.05)
        if found.mean_ms is None:
            raise ExperimentError(f"edge {wish.source} to {wish.target}: no ping came back")
        return found.mean_ms

    def _rate(self, wish: EdgeWish, port: int, seconds: int) -> float:
        source, target = self.pods[wish.source], self.pods[wish.target]
        rate = wish.rate or None
        return iperf(source, target, seconds=seconds, rate=rate, port=port).received_bits_per_second


def app_graph(
    testbed: Testbed,
    edges: Iterable[Edge],
    *,
    bandwidth: str = "",
    latency: str = "",
    nodes: Mapping[str, str] | None = None,
    scheduler: str = "",
    labels: Mapping[str, Mapping[str, str]] | None = None,
    requests: Mapping[str, str] | None = None,
    spec: Mapping[str, Any] | None = None,
    timeout: float = 60.0,
) -> AppGraph:
    """Run a pod for each workload that edges name, and wait until all of them are there.

    An edge is (workload, the one that it sends to), with what it asks for as a third part:
    ``{"bandwidth": "10mbit", "latency": "5ms"}`` (of a round trip), else what is said for all.
    ``nodes`` pins workloads, ``scheduler`` places the others, which see ``labels`` (by workload)
    and ``requests`` (of each); ``spec`` is merged into each pod's. What others send to is made
    first: a scheduler that knows the network places a pod by where those are that it talks to. The
    pods go with the test's namespace. ``timeout`` in seconds.
    Raises ExperimentError, ClusterError, WaitTimeoutError. Example::

        shop = kinda.app_graph([("web", "cart"), ("cart", "store")], bandwidth="20mbit")
        trial.record("carried", shop.measure().rate, "bit/s")
    """
    wishes = [_wish(edge, bandwidth, latency) for edge in edges]
    if not wishes:
        raise ExperimentError("app_graph: found no edge; expected some, such as ('web', 'cart')")
    asked = {**({"schedulerName": scheduler} if scheduler else {}), **(spec or {})}
    cluster = testbed.cluster
    pods = {}
    for name in order_of(wishes):
        pods[name] = cluster.run_pod(
            name,
            node=(nodes or {}).get(name),
            labels=(labels or {}).get(name),
            requests=requests,
            spec=asked,
            wait=False,
        )
    for pod in pods.values():
        pod.wait_for("Ready", timeout=timeout)
    return AppGraph(wishes, pods)


def order_of(wishes: Iterable[EdgeWish]) -> list[str]:
    """The workloads, each after those that it sends to; in a circle as they were named."""
    needs: dict[str, list[str]] = {}
    for wish in wishes:
        needs.setdefault(wish.source, []).append(wish.target)
        needs.setdefault(wish.target, [])
    try:
        return list(TopologicalSorter(needs).static_order())
    except CycleError:
        return list(needs)


def _wish(edge: Edge, bandwidth: str, latency: str) -> EdgeWish:
    source, target = edge[0], edge[1]
    asked = {"bandwidth": bandwidth, "latency": latency}
    if len(edge) == 3:
        if unknown := {*edge[2]} - {*asked}:
            raise ExperimentError(
                f"edge {source} to {target}: found {sorted(unknown)}; expected bandwidth, latency"
            )
        asked.update(edge[2])
    return EdgeWish(
        source,
        target,
        int(parse_rate(asked["bandwidth"])) if asked["bandwidth"] else 0,
        int(parse_duration(asked["latency"])) if asked["latency"] else 0,
    )


def _asked(wish: EdgeWish) -> str:
    parts = [format_rate(Rate(wish.rate))] if wish.rate else []
    parts += [f"{wish.latency / 1e6:g} ms"] if wish.latency else []
    return f"(asked for {', '.join(parts)})" if parts else ""

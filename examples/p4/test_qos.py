"""Contracts of flows in a tree of switches: rates that are kept, and bounds that are watched.

The tree is small here; ``qos_cluster.py`` runs the same on ten switches and twelve workers of a
cluster, and shows it to pods.
"""

from __future__ import annotations

import itertools
import time

import pytest

from examples.p4.network import ROUTES
from pytest_kinda import Host, Link, P4Entry, P4Switch, Topology
from pytest_kinda.p4.control import Rate

ROOT_RATE = 500
"""Packets a second that a queue of the root sends; twice as many at each level below."""

BOUND = 200_000
"""Microseconds that a packet under contract may wait in all queues on its way."""

GOLD, LIMITED = 1, 2
GREEN, YELLOW, RED = 0, 1, 2
SHARED, OWN = 0, 1
DATA = b"." * 100
FRAME = len(DATA) + 42  # with UDP, IPv4 and Ethernet


def tree(name, widths, worker=Host, nodes=(), links=()):
    """Switches s1, s2, ... below s1, as many at each as ``widths`` says, workers at the last."""
    nodes, links = list(nodes), list(links)
    numbers = itertools.count(1)
    level, rate = [f"s{next(numbers)}"], ROOT_RATE
    for width in widths[:-1]:
        nodes += [switch(one, rate) for one in level]
        below = [(one, f"s{next(numbers)}") for one in level for _ in range(width)]
        links += itertools.starmap(Link, below)
        level, rate = [low for _, low in below], rate * 2
    workers = (f"w{number}" for number in itertools.count(1))
    for one in level:
        mine = list(itertools.islice(workers, widths[-1]))
        nodes += [switch(one, rate, *mine), *map(worker, mine)]
        links += [Link(one, name) for name in mine]
    return Topology(name=name, nodes=nodes, links=links)


def switch(name, rate, *workers):
    return P4Switch(
        name,
        program="qos.json",
        engine="native",
        forwarding=ROUTES,
        grows_by="14B",
        queue_rate=rate,
        queue_depth=1024,
        priority_queues=2,
        entries=[
            P4Entry("this_switch", None, "me", {"id": int(name.removeprefix("s"))}),
            *(P4Entry("edges", {"egress_port": f"{{port:{one}}}"}, "NoAction") for one in workers),
        ],
    )


QOS = tree("qos", widths=(3, 2))

pytestmark = pytest.mark.topology(QOS, engine="direct")


class Flow:
    """A flow between two workers, the first switch that it passes, and the last."""

    def __init__(self, kinda, source, target, port):
        self.source, self.target = kinda.node(source), kinda.node(target)
        self.first, self.last = (
            kinda.device(node.interfaces[0].peers[0]) for node in (self.source, self.target)
        )
        assert kinda.ping(source, target, count=1)  # what waits for ARP may be overtaken, or lost
        self.server, self.client = self.target.udp(port), self.source.udp()
        self.sent = 0

    def contract(self, number, queue, committed, peak):
        """Colour its packets by two rates: green, yellow, red."""
        self.first.meter("rates").set(number, committed, peak)
        self.first.table("contracts").add(
            {"src": self.source.ip, "dst": self.target.ip},
            "contract",
            {"number": number, "queue": queue},
            priority=1,
        )

    def watch(self, number):
        """Keep at its last switch what was late, and how late and where."""
        self.last.table("bounds").add({"contract": number}, "at_most", {"bound": BOUND})

    def late(self, number):
        return self.last.register("late").read(number)

    def longest(self, number):
        """The longest wait, and at which switch the most of it was."""
        wait = self.last.register("longest").read(number)
        return wait, f"s{self.last.register('longest_at').read(number)}"

    def forget(self, number):
        for name in ("late", "longest", "longest_at"):
            self.last.register(name).write(number, 0)

    def send(self, count=1):
        self.sent += count
        for _ in range(count):
            self.client.send(DATA, to=self.server)

    def take_all(self):
        """Wait until all that was sent has come."""
        received = self.server.take(self.sent, timeout=30)
        self.sent = 0
        return received


def workers_of(kinda):
    names = [one.name for one in kinda.nodes if one.name.startswith("w")]
    return sorted(names, key=lambda name: int(name[1:]))


def colors(flow, number):
    counter = flow.first.counter("colors")
    return [counter.read(4 * number + color).packets for color in (GREEN, YELLOW, RED)]


def test_a_flow_gets_its_rate_and_no_more(kinda):
    first, second, *_, last = workers_of(kinda)
    limited, other = Flow(kinda, first, last, 9000), Flow(kinda, second, last, 9001)
    committed, peak = Rate(20 * FRAME, 20 * FRAME), Rate(40 * FRAME, 50 * FRAME)
    limited.contract(LIMITED, OWN, committed, peak)
    begun = time.monotonic()
    for number in range(300):
        limited.send()
        if number % 10 == 0:
            other.send()
    kinda.ping(first, second, count=1)  # behind the last of them at the first switch
    seconds = time.monotonic() - begun

    green, yellow, red = colors(limited, LIMITED)
    print(f"300 packets: {green} in the contract, {yellow} beyond it, {red} dropped")
    assert green + yellow + red == 300
    assert 20 <= green <= 20 + 20 * seconds + 1
    assert 50 <= green + yellow <= 50 + 40 * seconds + 1
    limited.server.take(green + yellow)
    other.take_all()
    assert limited.server.waiting() == ()


class Violated:
    """A flow under contract, and one that fills a queue on its way."""

    def __init__(self, kinda, flooder):
        workers = workers_of(kinda)
        self.gold = Flow(kinda, workers[0], workers[-1], 9000)
        self.flood = Flow(kinda, workers[flooder], workers[-1], 9001)
        plenty = Rate(1_000_000, 100_000)
        # by an oversight its packets go by everybody's queue
        self.gold.contract(GOLD, SHARED, plenty, plenty)
        self.gold.watch(GOLD)

    def until_late(self):
        """A packet of the flow every 10 ms, and floods: the longest wait, and where it was."""
        deadline = time.monotonic() + 30
        for number in itertools.count():
            if number % 300 == 0:
                self.flood.send(800)
            self.gold.send()
            if self.gold.late(GOLD):
                return self.gold.longest(GOLD)
            assert time.monotonic() < deadline, "no packet was late within 30 s"
            time.sleep(0.01)

    def drain(self):
        self.gold.take_all()
        self.flood.take_all()
        self.gold.forget(GOLD)


@pytest.mark.parametrize("at", ["root", "last switch"])
def test_a_violation_is_seen_and_where_it_was(kinda, at):
    # a flood from below another branch meets the flow at the root, a neighbour's at the last switch
    violated = Violated(kinda, len(workers_of(kinda)) // 2 if at == "root" else -2)
    wait, place = violated.until_late()
    print(f"waited {wait / 1000:.0f} ms, the most at {place}, the {at}")
    assert wait > BOUND
    assert place == ("s1" if at == "root" else violated.gold.last.name)


def limit_the_flood(violated):
    little = Rate(20 * FRAME, 10 * FRAME)
    violated.flood.contract(LIMITED, SHARED, little, little)


def give_the_flow_its_queue(violated):
    table = violated.gold.first.table("contracts")
    (entry,) = table.dump().entries
    table.modify(entry.handle, "contract", {"number": GOLD, "queue": OWN})


@pytest.mark.parametrize("mend", [limit_the_flood, give_the_flow_its_queue])
def test_a_violation_is_mended(kinda, mend):
    violated = Violated(kinda, len(workers_of(kinda)) // 2)
    before, _ = violated.until_late()
    violated.drain()
    mend(violated)
    violated.flood.send(800)
    for _ in range(40):
        violated.gold.send()
        time.sleep(0.01)
    violated.gold.take_all()
    after, _ = violated.gold.longest(GOLD)
    print(f"{before / 1000:.0f} ms in queues before, {after / 1000:.1f} ms after")
    assert violated.gold.late(GOLD) == 0

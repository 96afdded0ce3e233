"""All-reduce by four workers: the switch between them adds, and each gets the exact sum once."""

from __future__ import annotations

import struct

import pytest

from examples.p4.network import ROUTES
from pytest_kinda import Host, Link, P4Entry, P4Switch, Topology

PORT = 7001
WORKERS = ("w1", "w2", "w3", "w4")
VECTOR = struct.Struct("!BBH8I")

ALLREDUCE = Topology(
    name="allreduce",
    nodes=[
        *(Host(name) for name in WORKERS),
        P4Switch(
            "adder",
            program="allreduce.json",
            forwarding=ROUTES,
            entries=[
                *(
                    P4Entry(
                        "members",
                        {"worker": number, "ingress_port": f"{{port:{name}}}"},
                        "joins",
                        {"worker_bit": 1 << number, "all_bits": 0b1111},
                    )
                    for number, name in enumerate(WORKERS)
                ),
                *(
                    P4Entry(
                        "deliveries",
                        {"egress_port": f"{{port:{name}}}"},
                        "deliver",
                        {
                            "source_mac": f"{{mac:{name}}}",
                            "target_mac": f"{{peer_mac:{name}}}",
                            "source": f"{{address:{name}}}",
                            "target": f"{{peer_address:{name}}}",
                        },
                    )
                    for name in WORKERS
                ),
            ],
            commands="mc_mgrp_create 1\n"
            f"mc_node_create 0 {' '.join(f'{{port:{name}}}' for name in WORKERS)}\n"
            "mc_node_associate 1 0\n",
        ),
    ],
    links=[Link(name, "adder") for name in WORKERS],
)

pytestmark = pytest.mark.topology(ALLREDUCE, engine="direct")


class Worker:
    """One of those whose vectors are added."""

    def __init__(self, kinda, number):
        self.number = number
        self.end = kinda.node(WORKERS[number]).udp(PORT)
        port = kinda.device("adder").ports[number]
        self.switch = (port.address, PORT)

    def send(self, number, vector):
        self.end.send(VECTOR.pack(0, self.number, number, *vector), to=self.switch)

    def sum(self):
        _, _, number, *vector = VECTOR.unpack(self.end.receive().data)
        return number, vector


@pytest.fixture
def workers(kinda):
    return [Worker(kinda, number) for number in range(len(WORKERS))]


def vector(worker, number):
    return [1000 * (worker + 1) + 10 * number + place for place in range(8)]


def total(number):
    return [sum(column) for column in zip(*(vector(w, number) for w in range(4)), strict=True)]


def test_each_worker_gets_the_exact_sum_once(kinda, workers):
    rounds = range(100)  # more than there are places
    before = counted(kinda)
    for number in rounds:
        for one in workers[number % 4 :] + workers[: number % 4]:
            one.send(number, vector(one.number, number))
        for one in workers:
            assert one.sum() == (number, total(number))
    assert [one.end.waiting() for one in workers] == [()] * 4
    there, back = (now - then for now, then in zip(counted(kinda), before, strict=True))
    print(f"{len(rounds)} rounds of 4 workers: {there} packets in, {back} out")


def counted(kinda):
    """The packets that the switch's interfaces have received and sent."""
    counters = kinda.device("adder").counters()
    ports = [counters[one.interface] for one in kinda.device("adder").ports]
    return sum(one.received_packets for one in ports), sum(one.sent_packets for one in ports)


def test_nothing_comes_before_the_last_worker_has_sent(workers):
    *early, last = workers
    for one in early:
        one.send(5, vector(one.number, 5))
    last.send(6, vector(last.number, 6))  # another round
    early[0].send(6, vector(0, 6))
    last.send(5, vector(last.number, 5))
    assert [one.sum() for one in workers] == [(5, total(5))] * 4


def test_what_is_sent_again_is_not_added_again(workers):
    for _ in range(3):
        workers[0].send(7, vector(0, 7))
    for one in workers[1:]:
        one.send(7, vector(one.number, 7))
    assert [one.sum() for one in workers] == [(7, total(7))] * 4

    workers[2].send(7, vector(2, 7))  # its sum was lost, it believes
    assert workers[2].sum() == (7, total(7))
    for one in workers:
        one.send(8, vector(one.number, 8))
    assert [after_round_7(one) for one in workers] == [(8, total(8))] * 4


def after_round_7(worker):
    """What a worker gets next: a vector that overtook its repetitions had them answered too."""
    while (found := worker.sum()) == (7, total(7)):
        pass
    return found


def test_sums_go_round_as_those_of_32_bits_do(workers):
    for one in workers:
        one.send(0, [0x80000001] * 8)
    assert [one.sum() for one in workers] == [(0, [4] * 8)] * 4


def test_a_stranger_adds_nothing(workers):
    """A worker that claims to be another one is no worker: it is asked for at its own port."""
    for one in workers[1:]:
        one.send(1, vector(one.number, 1))
    workers[1].end.send(VECTOR.pack(0, 0, 1, *[9] * 8), to=workers[1].switch)
    workers[0].send(1, vector(0, 1))
    assert [one.sum() for one in workers] == [(1, total(1))] * 4

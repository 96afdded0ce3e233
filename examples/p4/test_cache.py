"""A key-value cache in the network: the switch answers for hot keys, and the server rests."""

from __future__ import annotations

import struct
from collections import namedtuple

import pytest

from examples.p4.network import ROUTES
from pytest_kinda import Host, Link, P4Entry, P4Switch, Topology

PORT = 7000
GET, PUT, VALUE, STORED = 1, 2, 3, 4
SERVER, SWITCH = 0, 1
HOT, COLD = 42, 43

CACHE = Topology(
    name="cache",
    nodes=[
        Host("client"),
        Host("server"),
        P4Switch(
            "cache",
            program="cache.json",
            forwarding=ROUTES,
            entries=[P4Entry("hot_keys", {"key": HOT}, "is_hot", {"slot": 0})],
        ),
    ],
    links=[Link("client", "cache"), Link("cache", "server")],
)

pytestmark = pytest.mark.topology(CACHE, engine="direct")

Request = namedtuple("Request", "operation by number key value")
FORMAT = struct.Struct("!BBHIQ")


class Store:
    """A client and a server of a store; the server's part is done by the test, when it says so."""

    def __init__(self, kinda, client="client", server="server"):
        self.server = kinda.node(server).udp(PORT)
        self.client = kinda.node(client).udp()
        self.content = {HOT: 1, COLD: 2}
        self.served = 0

    def ask(self, operation, key, value=0):
        self.client.send(FORMAT.pack(operation, SERVER, 0, key, value), to=self.server)

    def serve(self, asked=None):
        """Answer a request, or the next that comes to the server."""
        asked = asked or self.server.receive()
        request = Request(*FORMAT.unpack(asked.data))
        self.served += 1
        if request.operation == PUT:
            self.content[request.key] = request.value
        operation = {GET: VALUE, PUT: STORED}[request.operation]
        value = self.content[request.key]
        self.server.send(FORMAT.pack(operation, SERVER, 0, request.key, value), to=asked)

    def answer(self):
        return Request(*FORMAT.unpack(self.client.receive().data))

    def get(self, key, *, served):
        self.ask(GET, key)
        if served:
            self.serve()
        found = self.answer()
        return found.value, "server" if found.by == SERVER else "switch"


@pytest.fixture
def store(kinda):
    return Store(kinda)


def test_a_hot_key_is_answered_by_the_switch(kinda, store):
    assert store.get(HOT, served=True) == (1, "server")  # fills the cache
    with kinda.capture(kinda.link("cache", "server"), filter=f"udp port {PORT}") as capture:
        for _ in range(50):
            assert store.get(HOT, served=False) == (1, "switch")
    assert capture.count() == 0
    assert kinda.device("cache").counter("hits").read(0).packets == 50


def test_a_key_that_is_not_hot_is_the_servers(store):
    for _ in range(3):
        assert store.get(COLD, served=True) == (2, "server")
    assert store.served == 3


def test_a_write_makes_the_copy_invalid_until_it_is_stored(store):
    store.get(HOT, served=True)
    assert store.get(HOT, served=False) == (1, "switch")
    store.ask(PUT, HOT, 7)
    store.ask(GET, HOT)  # overtakes nothing: the server has both, in that order
    store.serve()
    store.serve()
    assert [store.answer() for _ in range(2)] == [
        Request(STORED, SERVER, 0, HOT, 7),
        Request(VALUE, SERVER, 0, HOT, 7),
    ]
    assert store.get(HOT, served=False) == (7, "switch")


def test_an_old_answer_does_not_overtake_a_write(kinda, store):
    """The server's answer to a read comes to the switch after a write has passed there."""
    store.ask(GET, HOT)
    read = store.server.receive()
    store.ask(PUT, HOT, 7)
    write = store.server.receive()
    store.serve(read)
    assert store.answer() == Request(VALUE, SERVER, 0, HOT, 1)
    assert kinda.device("cache").register("valid").read(0) == 0
    store.serve(write)
    assert store.answer().operation == STORED
    assert store.get(HOT, served=False) == (7, "switch")


def test_the_gain(kinda, store):
    """A skewed load, with and without the switch's part: what the server has to do."""
    keys = [HOT, HOT, COLD, HOT] * 10
    kinda.device("cache").table("hot_keys").clear()
    for key in keys:
        store.get(key, served=True)
    without, store.served = store.served, 0

    kinda.device("cache").table("hot_keys").add({"key": HOT}, "is_hot", {"slot": 0})
    store.get(HOT, served=True)
    for key in keys:
        store.get(key, served=key == COLD)
    with_cache = store.served
    print(f"{len(keys)} requests: {without} to the server without the cache, {with_cache} with it")
    assert (without, with_cache) == (40, 11)

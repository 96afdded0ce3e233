"""A suite with a testbed that needs no Docker, given through the plugin's public hook."""

from __future__ import annotations

import pytest

# Plugins that an inner run does not need and that take long to import.
QUICK = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")

CONFTEST = """
import pytest
from pytest_kinda.errors import BuildError

class Paper:
    # What the hook may give: close() is all that is asked of it.
    def __init__(self, config, topology, options):
        self.engine = options.engine
        self.config, self.topology, self.name = config, topology, topology.name
        self.id = "paper-" + topology.name
        self.log("build")

    def log(self, word):
        with open(self.config.rootpath / "log.txt", "a") as file:
            file.write(word + " " + self.name + "\\n")

    def begin_test(self, nodeid):
        self.log("begin " + nodeid.split("::")[1].split("[")[0])

    def put_back(self):
        self.log("put back")

    def keep(self):
        self.log("keep")

    def close(self):
        self.log("close")

def pytest_kinda_build(config, topology, options, progress):
    progress.start("paper")
    if topology.name.startswith("bad"):
        raise BuildError("wiring", "no such interface: eth7", remedy="declare it")
    progress.done("paper", 0.25)
    return Paper(config, topology, options)
"""

TOPOLOGIES = """
from pytest_kinda import Host, Link, Topology

def pair(name):
    return Topology(name=name, nodes=[Host("h1"), Host("h2")], links=[Link("h1", "h2")])

A, B, BAD = pair("a"), pair("b"), pair("bad")
"""


class Suite:
    """A pytester with the paper testbed and two topologies to import."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        pytester.makeconftest(CONFTEST)
        pytester.makepyfile(shapes=TOPOLOGIES)
        pytester.syspathinsert()

    def write(self, **modules: str) -> None:
        head = "import pytest\nfrom shapes import *\n"
        self.pytester.makepyfile(**{name: head + text for name, text in modules.items()})

    def run(self, *arguments: str) -> pytest.RunResult:
        return self.pytester.runpytest(*QUICK, *arguments)

    @property
    def log(self) -> list[str]:
        path = self.pytester.path / "log.txt"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def builds(self) -> list[str]:
        return [line for line in self.log if line.startswith(("build", "close"))]


@pytest.fixture
def suite(pytester: pytest.Pytester) -> Suite:
    return Suite(pytester)

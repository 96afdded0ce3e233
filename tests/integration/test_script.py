"""Without pytest: a testbed in a script, gone at its end."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = """
from pytest_kinda import Testbed
from pytest_kinda.plan import PlanOptions
from tests.support.topologies import PAIR

with Testbed(PAIR, options=PlanOptions(engine="direct")) as kinda:
    assert kinda.reachability()
    print(kinda.id, kinda.exec("h1", "hostname").stdout, end="")
    kinda.link("r1", "h2").down()
    assert not kinda.ping("h1", "h2", count=1)
    with kinda.capture("h1", filter="icmp") as capture:
        kinda.ping("h1", "r1", count=1)
    assert capture.count() == 2
"""


def test_a_testbed_in_a_script(state_home):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    identity = done.stdout.split()[0]
    left = subprocess.run(
        ["docker", "ps", "-aq", "--filter", f"name={identity}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert left.stdout == ""
    assert not list((state_home / "pytest-kinda/testbeds").iterdir())

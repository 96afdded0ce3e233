"""The options, the ini file, and that nothing is asked of Docker without need."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.pytester.conftest import QUICK, Suite

SHOW = """
import pytest
from pytest_kinda.plugin import TESTBEDS

def test_show(pytestconfig):
    options = pytestconfig.stash[TESTBEDS].options
    print("SEEN", options.plan.engine, options.plan.tunnel, options.plan.pool, options.keep)
"""


def test_the_command_line_wins_over_the_ini_file(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nkinda_engine = direct\nkinda_tunnel = bpf\nkinda_keep = true\n")
    pytester.makepyfile(SHOW)
    result = pytester.runpytest(*QUICK, "-s", "--kinda-tunnel=gre", "--kinda-pool=10.77.0.0/16")
    result.stdout.fnmatch_lines(["*SEEN direct gre 10.77.0.0/16 True*"])


@pytest.mark.parametrize(
    ("ini", "arguments", "found"),
    [
        ("kinda_engine = docker", [], "kinda_engine: found 'docker'; expected one of kathara, dir"),
        ("", ["--kinda-attach=a", "--kinda-kubeconfig=f"], "*both name a testbed: give one"),
        ("", ["--kinda-pool=10.9.0.1/16"], "--kinda-pool: found '10.9.0.1/16'"),
    ],
)
def test_a_wrong_value_is_one_clear_error(
    pytester: pytest.Pytester, ini: str, arguments: list[str], found: str
) -> None:
    pytester.makeini(f"[pytest]\n{ini}\n")
    pytester.makepyfile(SHOW)
    result = pytester.runpytest(*QUICK, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{found}*"])


NO_CONNECTION = """
import socket
def refuse(*args):
    raise SystemExit("connected somewhere: %r" % (args,))
socket.socket.connect = refuse
"""


@pytest.mark.parametrize("arguments", [["--collect-only"], ["--help"], ["--markers"]])
def test_docker_is_not_asked(suite: Suite, arguments: list[str], tmp_path: object) -> None:
    suite.write(test_x="@pytest.mark.topology(A, B)\ndef test_1(kinda): pass\n")
    suite.pytester.makeconftest(NO_CONNECTION)
    result = suite.pytester.run(sys.executable, "-m", "pytest", *QUICK, *arguments)
    assert result.ret == 0
    shown = {"--collect-only": "*test_1[[]b[]]*", "--help": "*--kinda-keep*"}
    result.stdout.fnmatch_lines([shown.get(arguments[0], "*pytest.mark.topology*")])


def test_plan_only_plans_and_runs_nothing(suite: Suite) -> None:
    suite.write(test_x="@pytest.mark.topology(A, B)\ndef test_1(kinda): assert False\n")
    result = suite.run("--kinda-plan-only")
    assert result.ret == 0
    assert suite.log == []
    result.stdout.fnmatch_lines(["a: 2 nodes, 1 links*", "b: 2 nodes, 1 links*", "planned 2*"])


def test_plan_only_needs_no_docker_and_fails_with_what_is_not_possible(suite: Suite) -> None:
    suite.write(
        test_x="""
@pytest.mark.topology(A.with_(links=[Link("h1", "h2", delay="5ms")]))
def test_1(kinda): pass
@pytest.mark.topology(B, pool="10.9.0.0/31")
def test_2(kinda): pass
"""
    )
    suite.pytester.makeconftest(NO_CONNECTION)
    result = suite.pytester.run(sys.executable, "-m", "pytest", *QUICK, "--kinda-plan-only")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "a: 2 nodes, 1 links*",
            "b-10.9.0.0/31: plan of 'b': 1 problem",
            "*options: pool: found 10.9.0.0/31*",
            "planned 2 topologies, 1 of them not possible",
        ]
    )


@pytest.mark.parametrize(
    "statement",
    ["import pytest_kinda.plugin", "from pytest_kinda import Router", "import pytest_kinda"],
)
def test_importing_imports_nothing_heavy(statement: str) -> None:
    heavy = ("Kathara", "docker", "kubernetes", "pyroute2")
    answer = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{statement}\nimport sys\nprint(*(name for name in {heavy!r} if name in sys.modules))",
        ],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert answer.stdout.strip() == ""


def test_the_engine_of_p4_switches_is_stated(suite: Suite) -> None:
    suite.write(
        test_x="from pytest_kinda import P4Switch\n"
        "s1 = P4Switch('s1', program='{}')\n"
        "s2 = P4Switch('s2', program='{}', engine='bmv2')\n"
        "T = Topology(name='t', nodes=[s1, s2], links=[Link('s1', 's2')])\n"
        "@pytest.mark.topology(T)\ndef test_1(kinda): pass\n"
        "@pytest.mark.topology(A)\ndef test_2(kinda): pass\n"
    )
    suite.pytester.makeini("[pytest]\nkinda_p4_engine = native\n")
    result = suite.run("--junitxml=out.xml")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["kinda: t: P4 engine native (s1); bmv2 (s2)"])
    result.stdout.no_fnmatch_line("kinda: a: P4*")
    text = (suite.pytester.path / "out.xml").read_text()
    assert text.count('name="kinda_p4_engine" value="native, bmv2"') == 1


def test_a_test_runs_once_on_each_engine_where_that_makes_a_difference(suite: Suite) -> None:
    suite.write(
        test_x="from pytest_kinda import P4Switch\n"
        "def one(name, **more):\n"
        "    nodes = [P4Switch('s1', program='{}', **more), P4Switch('s2', program='{}', **more)]\n"
        "    return Topology(name=name, nodes=nodes, links=[Link('s1', 's2')])\n"
        "@pytest.mark.topology(one('t'))\ndef test_free(kinda): pass\n"
        "@pytest.mark.topology(one('u', engine='native'))\ndef test_named(kinda): pass\n"
        "@pytest.mark.topology(one('v'), p4_engine='native')\ndef test_marked(kinda): pass\n"
        "@pytest.mark.topology(A)\ndef test_without(kinda): pass\n"
    )
    result = suite.run("-v", "--kinda-p4-engine=both")
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(
        ["*::test_free[[]t-bmv2[]] PASSED*", "*::test_free[[]t-native[]] PASSED*"]
    )
    result.stdout.fnmatch_lines(["*::test_named[[]u[]] PASSED*", "*::test_without[[]a[]] PASSED*"])
    result.stdout.fnmatch_lines(["kinda: t-bmv2: P4 engine bmv2 (s1, s2)"])

"""The mark: which are ours, which testbeds are built, in which order."""

from __future__ import annotations

import pytest

from tests.pytester.conftest import Suite


def test_tests_of_one_topology_share_a_testbed(suite: Suite) -> None:
    suite.write(
        test_x="""
@pytest.mark.topology(A)
def test_1(kinda):
    assert kinda.name == "a"

@pytest.mark.topology(pair("a"))
def test_2(kinda):
    assert kinda.name == "a"
"""
    )
    suite.run().assert_outcomes(passed=2)
    assert suite.builds == ["build a", "close a"]


def test_topologies_that_alternate_are_brought_together(suite: Suite) -> None:
    suite.write(
        test_x="""
@pytest.mark.topology(A)
def test_1(kinda): pass
def test_plain(): pass
@pytest.mark.topology(B)
def test_2(kinda): pass
@pytest.mark.topology(A)
def test_3(kinda): pass
""",
        test_y="""
@pytest.mark.topology(B)
def test_4(kinda): pass
""",
    )
    result = suite.run("-v")
    result.assert_outcomes(passed=5)
    assert suite.builds == ["build a", "close a", "build b", "close b"]
    order = [line.split("::")[1].split()[0] for line in result.outlines if "PASSED" in line]
    # Where a test without a topology goes is pytest's affair, and differs between its versions.
    assert "test_plain" in order
    order.remove("test_plain")
    assert order == ["test_1[a]", "test_3[a]", "test_2[b]", "test_4[b]"]


def test_two_topologies_never_stand_at_once_and_a_test_runs_once_on_each(suite: Suite) -> None:
    suite.write(
        test_x="""
@pytest.mark.topology(A, B)
class TestBoth:
    def test_1(self, kinda): pass
    def test_2(self, kinda): pass
"""
    )
    suite.run().assert_outcomes(passed=4)
    assert suite.builds == ["build a", "close a", "build b", "close b"]


def test_the_nearest_mark_wins_and_stacked_marks_add_up(suite: Suite) -> None:
    suite.write(
        test_x="""
pytestmark = pytest.mark.topology(A)

@pytest.mark.topology(B)
@pytest.mark.topology(pair("c"))
def test_1(kinda):
    assert kinda.name != "a"

def test_2(kinda):
    assert kinda.name == "a"
"""
    )
    suite.run().assert_outcomes(passed=3)


def test_fresh_gives_a_testbed_of_its_own_and_comes_last(suite: Suite) -> None:
    suite.write(
        test_x="""
@pytest.mark.topology(A, fresh=True)
def test_wrecks(kinda): pass

@pytest.mark.topology(A)
def test_1(kinda): pass

@pytest.mark.topology(A)
def test_2(kinda): pass
"""
    )
    suite.run().assert_outcomes(passed=3)
    assert suite.builds == ["build a", "close a", "build a", "close a"]


def test_options_in_a_mark_make_another_testbed(suite: Suite) -> None:
    suite.write(
        test_x="""
@pytest.mark.topology(A, engine="direct")
def test_1(kinda): kinda.log(kinda.engine)
@pytest.mark.topology(A)
def test_2(kinda): kinda.log(kinda.engine)
@pytest.mark.topology(A, engine="direct")
def test_3(kinda): kinda.log(kinda.engine)
"""
    )
    result = suite.run("-v", "--kinda-engine=kathara")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*test_1[[]a-direct[]]*", "*test_3[[]a-direct[]]*"])
    assert [line for line in suite.log if not line.startswith(("begin", "put"))] == [
        *("build a", "direct a", "direct a", "close a"),
        *("build a", "kathara a", "close a"),
    ]


def test_the_testbed_is_put_back_between_tests(suite: Suite) -> None:
    suite.write(
        test_x="""
@pytest.mark.topology(A)
def test_1(kinda): kinda.log("test 1")
@pytest.mark.topology(A)
def test_2(kinda): kinda.log("test 2")
"""
    )
    suite.run().assert_outcomes(passed=2)
    assert suite.log == [
        "build a",
        "begin test_1 a",
        "test 1 a",
        "put back a",
        "begin test_2 a",
        "test 2 a",
        "close a",
    ]


def test_a_mark_of_another_plugin_is_left_alone(suite: Suite) -> None:
    suite.write(
        test_x="""
@pytest.fixture
def their_fixture(request):
    return request.node.get_closest_marker("topology").args

@pytest.mark.topology("ldap", something=1)
def test_theirs(their_fixture):
    assert their_fixture == ("ldap",)
"""
    )
    suite.run().assert_outcomes(passed=1)
    assert suite.log == []


@pytest.mark.parametrize(
    ("mark", "found"),
    [
        ("A, 'b'", "argument 2: found str 'b'"),
        ("A, frsh=True", "found argument 'frsh'"),
        ("A, engine='dircet'", "found engine='dircet'; expected 'kathara' or 'direct'"),
        ("A, pool=7", "found pool=7; expected an IPv4 network"),
        ("A, internet_via=7", "found internet_via=7; expected the name of a router"),
    ],
)
def test_a_wrong_argument_beside_ours_is_refused(suite: Suite, mark: str, found: str) -> None:
    suite.write(test_x=f"@pytest.mark.topology({mark})\ndef test_1(kinda): pass\n")
    result = suite.run()
    assert result.ret != 0
    result.stdout.fnmatch_lines([f"*{found}*"])


def test_kinda_without_a_mark_says_what_to_do(suite: Suite) -> None:
    suite.write(test_x="def test_1(kinda): pass\n")
    result = suite.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*remedy: mark it*@pytest.mark.topology(TOPOLOGY)*"])


def test_parametrizing_kinda_by_hand(suite: Suite) -> None:
    suite.write(
        test_x="""
@pytest.mark.parametrize("kinda", [A, B], indirect=True)
def test_1(kinda): pass
"""
    )
    suite.run().assert_outcomes(passed=2)
    assert suite.builds == ["build a", "close a", "build b", "close b"]

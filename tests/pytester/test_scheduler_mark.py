"""The mark of the scheduler under test: refused at collection where it is wrong."""

from __future__ import annotations

from tests.pytester.conftest import Suite

WRONG = {
    "mode='proces'": "mode: found 'proces'; expected 'profile' or 'replace'",
    "mode='process'": "command: found no command and no binary; expected one of them",
    "mode='replace'": "found no image, command or binary; expected one: what runs",
    "mode='extender'": "neither filter nor score; expected at least one",
    "config=7": "config: found 7; expected a KubeSchedulerConfiguration",
    "image='a:1'": "image: found 'a:1'; expected none*'replace' and 'second'",
    "mod='second'": "argument: found 'mod'; expected one of name, mode",
    "'a', 'second'": "found the arguments 'a', 'second'; expected the scheduler's name",
    "score=7, mode='extender'": "score: found 7; expected a function",
}


def test_wrong_marks_are_refused_before_anything_is_built(suite: Suite) -> None:
    text = """
@pytest.mark.topology(A)
@pytest.mark.kinda_scheduler({mark})
def test_1(kinda, kinda_scheduler): pass
"""
    modules = {f"test_{number}": text.format(mark=mark) for number, mark in enumerate(WRONG)}
    suite.write(**modules)
    result = suite.run()
    result.assert_outcomes(errors=len(WRONG))
    for number, told in enumerate(WRONG.values()):
        result.stdout.fnmatch_lines([f"*test_{number}.py::test_1: mark kinda_scheduler:*"])
        result.stdout.fnmatch_lines([f"*{told}*"])
    assert suite.log == []


def test_a_mark_without_its_fixture_is_refused(suite: Suite) -> None:
    suite.write(
        test_x="""
@pytest.mark.topology(A)
@pytest.mark.kinda_scheduler(mode="process", command="x")
def test_1(kinda): pass
"""
    )
    result = suite.run()
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*the test does not use the fixture kinda_scheduler*"])


def test_the_fixture_hands_the_marks_arguments_to_the_testbed(suite: Suite) -> None:
    suite.pytester.makepyfile(
        conftest_more="""
class Handle:
    def __init__(self, testbed, options):
        self.testbed, self.options = testbed, options
    def __enter__(self):
        self.testbed.log("begin " + self.options["mode"])
        return self
    def __exit__(self, *_):
        self.testbed.log("end scheduler")

def scheduler(testbed, **options):
    return Handle(testbed, options)
"""
    )
    suite.write(
        test_x="""
import conftest_more
from pathlib import Path

pytestmark = pytest.mark.topology(A)

@pytest.fixture(autouse=True)
def paper(kinda):
    type(kinda).scheduler = conftest_more.scheduler

@pytest.mark.kinda_scheduler("mine", mode="process", command=["./x"])
def test_1(kinda_scheduler):
    options = dict(kinda_scheduler.options)
    assert Path(options.pop("base")) == Path(__file__).parent
    assert options == {"name": "mine", "mode": "process", "command": ["./x"]}

def test_2(kinda_scheduler): pass
"""
    )
    result = suite.run()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*remedy: mark it*@pytest.mark.kinda_scheduler(...)*"])
    assert [line for line in suite.log if "scheduler" in line or "process" in line] == [
        "begin process a",
        "end scheduler a",
    ]

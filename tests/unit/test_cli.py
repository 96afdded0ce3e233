"""The command line, as far as it needs no testbed."""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from pytest_kinda.cli import linking, programming
from pytest_kinda.cli.commands import kinda
from pytest_kinda.cli.output import print_table
from pytest_kinda.topology.node import SUBCOMMANDS

ONE = """
from pytest_kinda import Host, Link, Topology
PAIR = Topology(name="pair", nodes=[Host("h1"), Host("h2")], links=[Link("h1", "h2")])
ALIAS = PAIR
NUMBER = 7
"""
TWO = (
    ONE
    + """
OTHER = Topology(name="other", nodes=[Host("a"), Host("b")], links=[Link("a", "b")])
"""
)


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("KINDA_TESTBED", raising=False)
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(kinda, list(arguments))


def standing(tmp_path: Path, name: str, topology: str, *nodes: str) -> None:
    """A directory as a build that was broken off leaves it, with a plan that names the nodes."""
    directory = tmp_path / "state" / "pytest-kinda" / "testbeds" / name
    directory.mkdir(parents=True)
    links = [{"name": f"{a}--{b}"} for a, b in itertools.pairwise(nodes)]
    (directory / "plan.json").write_text(
        json.dumps(
            {"topology": topology, "nodes": [{"name": node} for node in nodes], "links": links}
        )
    )
    os.utime(directory, (time.time() - 3600,) * 2)


def test_plan_of_a_file_as_json(tmp_path: Path) -> None:
    (tmp_path / "lab.py").write_text(ONE)
    result = run("plan", "lab.py", "--json", "--pool", "10.50.0.0/16")
    assert result.exit_code == 0, result.output
    planned = json.loads(result.stdout)
    assert planned["topology"] == "pair"
    addresses = [one["addresses"][0] for node in planned["nodes"] for one in node["interfaces"]]
    assert all(one.startswith("10.50.") for one in addresses)


def test_plan_as_tables_names_every_node(tmp_path: Path) -> None:
    (tmp_path / "lab.py").write_text(ONE)
    result = run("plan", "lab.py:PAIR")
    assert "h1--h2" in result.stdout
    assert "02:" in result.stdout


def test_what_a_link_delays_and_loses_can_be_planned_and_drawn(tmp_path: Path) -> None:
    text = ONE.replace('Link("h1", "h2")', 'Link("h1", "h2", delay="5ms", loss="1%")')
    (tmp_path / "lab.py").write_text(text)
    planned = json.loads(run("plan", "lab.py", "--json").stdout)
    shapes = [one["shape"] for node in planned["nodes"] for one in node["interfaces"]]
    assert [one["delay"] for one in shapes] == [5_000_000, 5_000_000]
    assert "10.9.0.1" in run("graph", "lab.py", "--addresses").stdout


def test_tables_are_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("", ["MAC"], [["02:cd:42:56:1f:91"], ["[/bold]"]])
    assert [line.strip() for line in capsys.readouterr().out.splitlines()][-3:] == [
        "02:cd:42:56:1f:91",
        "[/bold]",
        "",
    ]


def test_plan_says_which_way_leads_outside(tmp_path: Path) -> None:
    (tmp_path / "lab.py").write_text(
        ONE.replace('Host("h2")', 'Router("h2")').replace("import Host", "import Router, Host")
    )
    result = run("plan", "lab.py:PAIR", "--internet-via", "h2", "--internet-dns", "192.0.2.53")
    assert "outside: by h2, name servers 192.0.2.53" in result.stdout
    assert "0.0.0.0/0" in result.stdout


def test_plan_of_an_object_in_a_module(tmp_path: Path) -> None:
    (tmp_path / "lab_module.py").write_text(TWO)
    result = run("plan", "lab_module:OTHER", "--json")
    assert json.loads(result.stdout)["topology"] == "other"


def test_the_colon_may_be_two_as_in_names_of_tests(tmp_path: Path) -> None:
    (tmp_path / "lab.py").write_text(ONE)
    one, two = run("plan", "lab.py:PAIR"), run("plan", "lab.py::PAIR")
    assert one.exit_code == two.exit_code == 0
    assert one.output == two.output


@pytest.mark.parametrize(
    ("reference", "text", "error"),
    [
        ("lab.py:PIAR", ONE, "did you mean PAIR?"),
        ("lab.py:NUMBER", ONE, "NUMBER is a int, no Topology"),
        ("lab.py", TWO, "holds several topologies: PAIR, ALIAS, OTHER"),
        ("lab.py", "x = 1", "holds no Topology"),
        ("lab.py", "1 / 0", "ZeroDivisionError"),
        ("none.py", "", "there is no such file"),
        ("no_such_module:X", "", "No module named 'no_such_module'"),
    ],
)
def test_a_wrong_reference_is_one_clear_error(
    tmp_path: Path, reference: str, text: str, error: str
) -> None:
    (tmp_path / "lab.py").write_text(text)
    result = run("plan", reference)
    assert result.exit_code == 1
    assert error in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_word_lists_the_nearest_commands_and_nodes(tmp_path: Path) -> None:
    standing(tmp_path, "abc123", "lab", "w1", "w2")
    result = run("wx1", "ip", "a")
    assert result.exit_code == 2
    assert "neither a command nor a node (nodes: w1, w2)" in result.stderr
    assert "did you mean w1" in result.stderr
    assert "did you mean plan or plot or link?" in run("pln").stderr


def test_ls_lists_what_a_crash_left(tmp_path: Path) -> None:
    standing(tmp_path, "abc123", "lab", "w1")
    (row,) = json.loads(run("ls", "--json").stdout)
    assert (row["id"], row["state"], row["nodes"]) == ("abc123", "abandoned", ["w1"])


def test_an_unknown_testbed_lists_the_nearest(tmp_path: Path) -> None:
    standing(tmp_path, "abc123", "lab", "w1")
    result = run("down", "abc124")
    assert result.exit_code == 1
    assert "there is no testbed 'abc124'; did you mean abc123?" in result.stderr


def test_without_a_testbed_the_remedy_is_named() -> None:
    result = run("exec", "w1", "--", "ip", "a")
    assert result.exit_code == 1
    assert "no testbed stands" in result.stderr
    assert "remedy: pytest --kinda-keep, or kinda up FILE" in result.stderr


def test_clean_removes_what_a_crash_left(tmp_path: Path) -> None:
    standing(tmp_path, "abc123", "lab", "w1")
    result = run("clean")
    assert result.exit_code == 0, result.output
    assert "abc123: removed" in result.stdout
    assert run("ls", "--json").stdout.strip() == "[]"


def test_options_behind_a_node_belong_to_the_command(tmp_path: Path) -> None:
    standing(tmp_path, "abc123", "lab", "w1")
    result = run("w1", "ip", "--json", "-br", "addr")
    # It gets as far as opening the testbed, which has no journal: no option was refused.
    assert "No such option" not in result.stderr
    assert result.exit_code == 1


def test_a_capture_says_where_it_would_go_and_that_nothing_stands() -> None:
    assert "Missing option '-w'" in run("capture", "w1:eth1").stderr
    assert "no testbed stands" in run("capture", "w1:eth1", "-w", "-").stderr


def test_no_node_may_be_named_like_a_command() -> None:
    assert set(kinda.commands) == SUBCOMMANDS


def test_every_command_that_answers_has_json() -> None:
    without = {"kubectl"}  # all of its arguments are kubectl's, whose own is -o json
    groups = {"link": linking.link, "p4": programming.p4}
    found = {name: one for name, one in kinda.commands.items() if name not in groups}
    for group, members in groups.items():
        found |= {f"{group} {name}": one for name, one in members.commands.items()}
    lacking = {
        name
        for name, one in found.items()
        if not any("--json" in parameter.opts for parameter in one.params)
    }
    assert lacking == without


def test_nodes_links_and_commands_complete(tmp_path: Path) -> None:
    standing(tmp_path, "abc123", "lab", "w1", "w2")
    standing(tmp_path, "def456", "other", "w3")

    def offered(*words: str) -> list[str]:
        completion = ShellComplete(kinda, {}, "kinda", "_KINDA_COMPLETE")
        found = completion.get_completions(list(words[:-1]), words[-1])
        return [one.value for one in found]

    assert offered("w") == ["who", "w1", "w2", "w3"]
    assert offered("-t", "def456", "w") == ["who", "w3"]
    assert offered("reverse", "w") == ["w1", "w2", "w3"]
    assert offered("exec", "-t", "abc123", "w") == ["w1", "w2"]
    assert offered("link", "down", "w") == ["w1--w2"]
    assert offered("capture", "w") == ["w1", "w2", "w3", "w1--w2"]
    assert offered("down", "") == ["abc123", "def456"]


def test_link_impair_wants_to_know_what() -> None:
    result = run("link", "impair", "r1--r2")
    assert result.exit_code == 2
    assert "name what to change: --rate, --delay" in result.stderr


def test_removing_tells_programs_what_was_removed(tmp_path: Path) -> None:
    standing(tmp_path, "abc123", "lab", "w1")
    assert json.loads(run("clean", "--json").stdout) == [
        {"id": "abc123", "removed": True, "left": []}
    ]


def test_logs_of_what_is_being_built_or_was_left(tmp_path: Path) -> None:
    standing(tmp_path, "abc123", "lab", "w1")
    directory = tmp_path / "state" / "pytest-kinda" / "testbeds" / "abc123"
    (directory / "keeper.log").write_text("one\ntwo\nthree\n")
    assert json.loads(run("logs", "-n", "2", "--json").stdout) == {"keeper.log": ["two", "three"]}

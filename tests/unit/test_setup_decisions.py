"""What preparing decides: install, start or print a command; rebuild or keep; pull or build."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_kinda.errors import SetupError
from pytest_kinda.setup import (
    device_images,
    images,
    node_image,
    parts,
    pins,
    prepare,
    registry,
    step_names,
    steps_of,
)
from pytest_kinda.setup.engine import Situation, decide
from pytest_kinda.setup.steps import Found, NotAllowed, Policy, Report, carry_out


def test_steps_are_named_with_commas_between() -> None:
    assert step_names(" kind, node,,") == ["kind", "node"]
    assert step_names("") == []


def test_without_an_engine_an_image_is_one_clear_error_and_the_next_step_still_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")

    class After:
        name = "after"

        def check(self) -> Found:
            return Found(True, "is looked at")

        def do(self, report: Report) -> None: ...

    step = steps_of(Policy(official=False), print)["base"]
    lines: list[str] = []
    assert carry_out([step, After()], lines.append) == 1
    text = "\n".join(lines)
    assert "base image: FAILED" in text
    assert "Docker Engine does not answer" in text
    assert "after: is looked at" in text


@pytest.mark.parametrize(
    ("now", "install", "expected"),
    [
        (Situation(answers=True), False, "nothing"),
        (Situation(answers=True, root=True, debian=True), True, "nothing"),
        (Situation(root=True, debian=True), False, "install"),
        (Situation(root=True, debian=True, daemon="/usr/sbin/dockerd"), False, "start"),
        (Situation(root=True, daemon="/usr/sbin/dockerd"), False, "start"),
    ],
)
def test_a_bare_debian_gets_an_engine_and_a_stopped_one_is_started(
    now: Situation, install: bool, expected: str
) -> None:
    assert decide(now, install=install) == expected


@pytest.mark.parametrize(
    ("now", "command"),
    [
        (Situation(forbidden=True, daemon="/usr/bin/dockerd"), "usermod -aG docker"),
        (Situation(daemon="/usr/bin/dockerd", systemd=True), "sudo systemctl start docker"),
        (Situation(root=True, debian=True, other_engine="podman"), "kinda setup --install"),
        (Situation(root=True, debian=True, desktop=True), "systemctl --user start docker-desktop"),
        (Situation(desktop=True), "DOCKER_HOST=unix://$HOME/.docker/desktop/docker.sock"),
        (Situation(debian=True), "sudo kinda setup --install"),
        (Situation(root=True), "your distribution"),
        (Situation(root=True, debian=True, remote=True), "DOCKER_HOST"),
    ],
)
def test_everywhere_else_the_command_is_printed(now: Situation, command: str) -> None:
    plan = decide(now, install=False)
    assert command in plan
    assert plan not in {"nothing", "install", "start"}


def test_an_engine_is_put_beside_another_one_only_when_asked() -> None:
    for other in (Situation(other_engine="podman"), Situation(desktop=True)):
        assert decide(replace(other, root=True, debian=True), install=True) == "install"
        assert decide(other, install=True) != "install"


class Scripted:
    """A step that becomes ready by its third ``check`` if ``do`` was called."""

    def __init__(self, name: str, *, ready: bool, works: bool = True) -> None:
        self.name = name
        self.ready = ready
        self.works = works
        self.done = 0

    def check(self) -> Found:
        return Found(self.ready, "is there" if self.ready else "is missing", "remedy text")

    def do(self, report: Report) -> None:
        self.done += 1
        report("working")
        if self.name == "forbidden":
            raise NotAllowed("not for us", remedy="sudo make it so")
        self.ready = self.works


def test_steps_that_are_ready_are_not_done_and_the_rest_go_on_past_failures() -> None:
    steps = [
        Scripted("ready", ready=True),
        Scripted("forbidden", ready=False),
        Scripted("useless", ready=False, works=False),
        Scripted("good", ready=False),
    ]
    lines: list[str] = []
    assert carry_out(steps, lines.append) == 1
    assert [step.done for step in steps] == [0, 1, 1, 1]
    text = "\n".join(lines)
    assert "sudo make it so" in text
    assert "useless: FAILED" in text
    assert "not ready: forbidden, useless" in text
    assert any(line.startswith("good: is there") and line.endswith(" s]") for line in lines)


def test_nothing_to_do_is_a_success() -> None:
    assert carry_out([Scripted("ready", ready=True)], lambda line: None) == 0


WANTED = {"official": "aaaa", "stand-in": "bbbb"}


@pytest.mark.parametrize(
    ("here", "official", "ok", "text"),
    [
        (None, None, False, "missing"),
        (images.Local("aaaa", "official"), None, True, "official"),
        (images.Local("bbbb", "stand-in"), None, True, "stand-in"),
        (images.Local("old", "stand-in"), None, False, "another recipe"),
        (images.Local("bbbb", "official"), None, False, "another recipe"),
        (images.Local("bbbb", "stand-in"), True, False, "a stand-in"),
        (images.Local("aaaa", "official"), False, False, "the official one"),
        (images.Local("", ""), None, False, "not made by"),
    ],
)
def test_an_image_is_kept_only_with_the_present_recipe_and_an_accepted_origin(
    here: images.Local | None, official: bool | None, ok: bool, text: str
) -> None:
    found = parts.judge("kinda/base:1", here, WANTED, official)
    assert found.ok is ok
    assert text in found.text


def test_a_stand_in_is_named_with_the_way_to_replace_it() -> None:
    found = parts.judge("kinda/base:1", images.Local("bbbb", "stand-in"), WANTED, None)
    assert "kinda setup --official" in found.warning


def test_a_changed_recipe_is_another_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "recipes"
    shutil.copytree(images.recipes(), copy)
    recipe = node_image.NodeImage()
    before = recipe.recipe("stand-in"), recipe.recipe("official")
    monkeypatch.setattr(images, "recipes", lambda: copy)
    assert (recipe.recipe("stand-in"), recipe.recipe("official")) == before, "place counts nothing"
    entrypoint = copy / "node/tree/usr/local/bin/entrypoint"
    entrypoint.write_text(entrypoint.read_text() + "# changed\n")
    assert recipe.recipe("stand-in") != before[0]
    assert recipe.recipe("official") == before[1], "the official image has its own entrypoint"
    shared = copy / "node/images"
    shared.write_text(shared.read_text() + "# changed\n")
    assert recipe.recipe("official") != before[1]


def test_a_changed_pin_is_another_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    node, base = node_image.NodeImage(), device_images.base()
    before = node.recipe("official"), base.recipe("stand-in")
    monkeypatch.setattr(pins, "KIND_NODE_DIGEST", "sha256:" + "0" * 64)
    monkeypatch.setattr(pins, "DEBIAN", "forky")
    assert node.recipe("official") != before[0]
    assert base.recipe("stand-in") != before[1]


def test_borders_and_names_count_in_a_hash(tmp_path: Path) -> None:
    assert images.recipe_hash(["ab", "c"]) != images.recipe_hash(["a", "bc"])
    (tmp_path / "one").write_text("x")
    first = images.recipe_hash([tmp_path])
    (tmp_path / "one").rename(tmp_path / "two")
    assert images.recipe_hash([tmp_path]) != first
    (tmp_path / "two").rename(tmp_path / "one")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/one.pyc").write_bytes(b"changes with every Python")
    assert images.recipe_hash([tmp_path]) == first


def test_the_registry_is_asked_once_and_only_without_an_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def answers(reference: str = "") -> bool:
        asked.append(reference)
        return False

    monkeypatch.setattr(registry, "reachable", answers)
    forced = registry.Choice(True, lambda line: None)
    assert forced() is True
    assert asked == []
    free = registry.Choice(None, lambda line: None)
    assert (free(), free()) == (False, False)
    assert len(asked) == 1


def test_another_registry_holds_the_same_names() -> None:
    assert registry.published("kindest/node", {}) == "kindest/node"
    assert (
        registry.published("kindest/node", {"KINDA_REGISTRY": "h:5000/"}) == "h:5000/kindest/node"
    )


def test_contradicting_or_unknown_arguments_are_one_clear_error() -> None:
    with pytest.raises(SetupError, match="exclude each other"):
        prepare(official=True, offline=True)
    with pytest.raises(SetupError, match="no step is called nodes") as error:
        prepare(only=["nodes"])
    assert "router" in error.value.remedy


def test_every_step_has_a_name_of_its_own() -> None:
    names = [step.name for step in steps_of(Policy()).values()]
    assert len(set(names)) == len(names) == 15

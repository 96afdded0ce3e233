"""What preparing reads from a machine: limits, versions, sources, the engine's answers."""

from __future__ import annotations

import http.server
import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pytest_kinda.errors import SetupError
from pytest_kinda.setup import (
    debian,
    doctor,
    engine,
    golang,
    gomodules,
    image,
    images,
    limits,
    pins,
    scheduling,
    tools,
)
from pytest_kinda.setup.__main__ import main
from pytest_kinda.setup.process import run
from pytest_kinda.setup.steps import Found, Report


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def kernel(root: Path, instances: int, watches: int) -> limits.Limits:
    folder = root / "fs/inotify"
    folder.mkdir(parents=True)
    (folder / "max_user_instances").write_text(f"{instances}\n")
    (folder / "max_user_watches").write_text(f"{watches}\n")
    return limits.Limits(root)


def test_low_limits_are_raised_and_high_ones_kept(tmp_path: Path) -> None:
    step = kernel(tmp_path, 128, 9_000_000)
    found = step.check()
    assert not found.ok
    assert "max_user_instances is 128" in found.text
    assert "max_user_watches" not in found.text
    assert found.remedy == f"sudo sysctl -w fs.inotify.max_user_instances={pins.INOTIFY_INSTANCES}"
    step.do(lambda line: None)
    assert step.check().ok
    assert (tmp_path / "fs/inotify/max_user_watches").read_text() == "9000000\n"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.25 linux/arm64", (1, 25, 0)),
        ("command not found", ()),
    ],
)
def test_go_says_its_version(text: str, version: tuple[int, ...]) -> None:
    assert golang.version_of(text) == version


def a_go(folder: Path, version: str) -> Path:
    program = folder / "go"
    folder.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho go version go{version} linux/amd64\n")
    program.chmod(0o755)
    return program


def test_the_machines_go_is_taken_if_it_is_new_enough_else_debians(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(golang, "USUAL", a_go(tmp_path / "usual", "1.26.1"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
    old = a_go(tmp_path / "path", "1.20.3")
    found = golang.toolchain(print)
    assert (found.program, found.version) == (golang.USUAL, (1, 26, 1))
    old.write_text(old.read_text().replace("1.20.3", "1.22.0"))
    found = golang.toolchain(print)
    # It fetches the one that is pinned as a module.
    assert found.program == old
    assert found._environment()["GOTOOLCHAIN"] == f"go{pins.GO_TOOLCHAIN}+auto"
    old.unlink()
    monkeypatch.setattr(golang, "USUAL", tmp_path / "none")

    class Apt:
        """Debian's packages as they lie when unpacked: links into /usr/share lead nowhere."""

        def __init__(self, release: str) -> None:
            assert release == pins.DEBIAN

        def unpack(self, packages: list[str], folder: Path) -> None:
            root = folder / f"usr/lib/go-{pins.GO_DEBIAN}"
            a_go(root / "bin", "1.24.4")
            (root / "src").symlink_to(f"/usr/share/go-{pins.GO_DEBIAN}-elsewhere/src")
            (folder / f"usr/share/go-{pins.GO_DEBIAN}/src").mkdir(parents=True)

    monkeypatch.setattr(debian, "Apt", Apt)
    monkeypatch.setattr(debian, "is_debian", lambda: False)
    with pytest.raises(SetupError, match=r"no Go 1\.25 or newer") as told:
        golang.toolchain(print)
    assert "kinda setup --official" in told.value.remedy
    monkeypatch.setattr(debian, "is_debian", lambda: True)
    found = golang.toolchain(print)
    assert found.version == (1, 24, 4)
    assert (found.program.parent.parent / "src").is_dir()


@pytest.mark.parametrize(
    ("version", "fit"),
    [("1.34.0", True), ("1.33.9", True), ("1.35.1", True), ("1.32.4", False), ("", False)],
)
def test_kubectl_may_be_one_minor_version_away(version: str, fit: bool) -> None:
    assert tools.fits(version, "1.34.11") is fit


def test_our_own_programs_come_before_those_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("cache/pytest-kinda/bin", "path"):
        (tmp_path / folder).mkdir(parents=True)
    found = tmp_path / "path/kind"
    found.write_text("#!/bin/sh\necho kind v0.20.0 go1.20 linux/amd64\n")
    found.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
    assert tools.program("kind") == str(found)
    check = tools.Kind().check()
    assert not check.ok
    assert "0.20.0" in check.text
    ours = tmp_path / "cache/pytest-kinda/bin/kind"
    ours.write_text(f"#!/bin/sh\necho kind v{pins.KIND} go1.26 linux/amd64\n")
    ours.chmod(0o755)
    assert tools.program("kind") == str(ours)
    assert tools.Kind().check().ok


def test_the_mirror_is_the_machines_own(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    with pytest.raises(SetupError, match="names Debian's archive"):
        debian.mirror(tmp_path)
    (tmp_path / "sources.list").write_text(
        "# deb http://commented/debian x main\ndeb [arch=amd64] http://old/debian/ bookworm main\n"
    )
    assert debian.mirror(tmp_path) == "http://old/debian"
    (tmp_path / "sources.list.d/debian.sources").write_text(
        "Types: deb\nURIs: http://security/debian-security\nSuites: s\n\n"
        "Types: deb\nURIs: http://near/debian\nSuites: bookworm\n"
    )
    assert debian.mirror(tmp_path) == "http://near/debian"


def test_a_program_that_fails_is_shown_with_its_last_words() -> None:
    with pytest.raises(SetupError, match=r"could not look: .*exited with 3\nit broke"):
        run(["sh", "-c", "echo it broke >&2; exit 3"], what="look")
    with pytest.raises(SetupError, match="'no-such-program' is not on this machine"):
        run(["no-such-program"], what="look")
    with pytest.raises(SetupError, match=r"did not end within 0 s"):
        run(["sleep", "5"], what="wait", timeout=0.2)


class Answers(http.server.BaseHTTPRequestHandler):
    pages: ClassVar[dict[str, Any]] = {}

    def do_GET(self) -> None:
        page = self.pages.get(self.path.split("?")[0])
        body = json.dumps(page).encode()
        self.send_response(404 if page is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "socket"

    def log_message(self, *arguments: Any) -> None:
        pass


class UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    path = tmp_path / "engine.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    pages: dict[str, Any] = {}
    handler = type("Handler", (Answers,), {"pages": pages})
    with UnixServer(str(path), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield pages
        server.shutdown()
        thread.join()


def test_images_are_read_by_their_labels(answers: dict[str, Any]) -> None:
    answers["/images/json"] = [
        {
            "Id": "sha256:1",
            "RepoTags": ["kinda/base:1", "other:2"],
            "Labels": {images.RECIPE_LABEL: "abc", images.ORIGIN_LABEL: "official"},
        },
        {"Id": "sha256:2", "RepoTags": None, "Labels": {images.RECIPE_LABEL: "old"}},
    ]
    local = images.Local("abc", "official", "sha256:1")
    assert images.local_images() == {"kinda/base:1": local, "other:2": local}


def test_an_engine_that_answers_is_found_and_what_it_lacks_is_none(answers: dict[str, Any]) -> None:
    answers["/version"] = {"Version": "26.1.5"}
    assert engine.look().answers
    assert engine.Engine().check() == Found(True, "26.1.5 answers")
    assert engine.ask("/plugins/none/json") is None


def test_a_silent_engine_is_no_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'nobody.sock'}")
    assert not engine.look().answers
    assert not engine.Engine().check().ok


def test_a_desktop_that_is_stopped_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'nobody.sock'}")
    monkeypatch.setattr(engine, "DESKTOP", tmp_path / "docker-desktop")
    assert not engine.look().desktop
    (tmp_path / "docker-desktop").mkdir()
    assert engine.look().desktop


def test_a_remote_engine_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    now = engine.look()
    assert now.remote
    assert "DOCKER_HOST" in engine.decide(now, install=True)


class Has:
    def __init__(self, name: str, found: Found) -> None:
        self.name = name
        self.found = found

    def check(self) -> Found:
        return self.found

    def do(self, report: Report) -> None:
        raise AssertionError("the doctor changes nothing")


def test_the_doctor_names_each_state_and_its_remedy() -> None:
    findings = doctor.examine(
        [
            Has("engine", Found(True, "answers")),
            Has("plugin", Found(True, "stand-in", warning="kinda setup --official replaces it")),
            Has("node image", Found(False, "is missing", "kinda setup")),
        ]
    )
    assert [finding.state for finding in findings] == ["ok", "ok", "ok", "warning", "missing"]
    assert doctor.missing(findings)
    assert not doctor.missing(findings[:4])
    text = doctor.as_text(findings)
    assert "missing  node image  is missing\n" in text
    assert "-> kinda setup --official replaces it" in text
    assert json.loads(doctor.as_json(findings))[4] == {
        "name": "node image",
        "state": "missing",
        "found": "is missing",
        "remedy": "kinda setup",
    }


def test_names_of_images_cost_no_docker() -> None:
    code = (
        "import sys, pytest_kinda.setup as s; s.image('node'); "
        "print(sorted({'docker', 'requests', 'kubernetes', 'pyroute2'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.strip() == "[]"
    assert image("node") == f"kinda/node:v{pins.KUBERNETES}"


def test_recipes_are_files_of_the_package() -> None:
    for name in (
        "node/images",
        "node/kubernetes/go.sum",
        "node/tree/usr/local/bin/entrypoint",
        "load-balancer/usr/local/bin/envoy",
        "scheduler-plugins/go.sum",
        "kueue/go.sum",
    ):
        assert (images.recipes() / name).is_file(), name


def test_the_pins_and_the_recipes_agree() -> None:
    module = (images.recipes() / "node/kubernetes/go.mod").read_text()
    assert f"k8s.io/kubernetes v{pins.KUBERNETES}\n" in module
    assert f"github.com/coredns/coredns v{pins.COREDNS}\n" in module
    assert f"go.etcd.io/etcd/server/v3 v{pins.ETCD}\n" in module
    plugins = (images.recipes() / "scheduler-plugins/go.mod").read_text()
    assert f"k8s.io/kubernetes v{pins.KUBERNETES}\n" in plugins
    assert scheduling.version() == "v0.34.7"
    assert scheduling.KUEUE.version == "v0.14.8"
    wanted = ".".join(str(part) for part in pins.GO_MINIMUM)
    assert f"\ngo {wanted}" in module


def test_a_command_line_that_contradicts_itself_ends_with_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--official", "--offline"]) == 2
    assert "exclude each other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("machine", "release", "engine", "untested"),
    [
        ("x86_64", "6.1.0", "Docker Engine, Debian GNU/Linux 12", ""),
        ("aarch64", "6.1.0", "Docker Engine", "not tested on aarch64"),
        ("x86_64", "5.15.1-microsoft-standard-WSL2", "Docker Engine", "not tested on WSL2"),
        ("x86_64", "6.1.0", "Podman Engine, Fedora", "not tested on Podman"),
        ("aarch64", "6.1.0", "Docker Engine, Docker Desktop", "aarch64 and Docker Desktop"),
    ],
)
def test_doctor_says_where_this_is_not_tested(
    machine: str, release: str, engine: str, untested: str
) -> None:
    finding = doctor.platform_finding("Linux", machine, release, engine)
    assert finding.state == ("warning" if untested else "ok")
    assert untested in finding.remedy
    if finding.state == "ok":
        assert "not tested: arm64, Podman, WSL2" in finding.found


def test_doctor_wants_linux() -> None:
    finding = doctor.platform_finding("Darwin", "arm64", "24.0", "")
    assert (finding.state, doctor.missing([finding])) == ("missing", True)


def test_what_a_limit_was_is_on_disk_before_it_is_raised(tmp_path: Path) -> None:
    step = kernel(tmp_path, 128, 65536)
    step.do(lambda line: None)
    path = tmp_path / "state" / "pytest-kinda" / limits.BEFORE
    before = {"fs.inotify.max_user_instances": 128, "fs.inotify.max_user_watches": 65536}
    assert json.loads(path.read_text()) == before
    (tmp_path / "fs/inotify/max_user_instances").write_text("256\n")
    step.do(lambda line: None)
    assert json.loads(path.read_text()) == before  # the first value, not the last


@pytest.mark.parametrize(
    ("step", "some"),
    [
        (scheduling.SCHEDULING, {"AppGroup", "ElasticQuota", "NetworkTopology", "PodGroup"}),
        (scheduling.KUEUE, {"ClusterQueue", "LocalQueue", "ResourceFlavor", "Topology"}),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
def test_what_is_compiled_from_modules_brings_its_definitions(
    step: gomodules.FromModule, some: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(gomodules, "compiled", lambda *given, **more: None)  # takes minutes
    assert step.definitions() == []
    for _ in range(2):
        step.do(lambda text: None)
        assert some <= {one["spec"]["names"]["kind"] for one in step.definitions()}
    assert not step.check().ok

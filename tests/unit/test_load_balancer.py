"""The balancer before several control planes: its image, and the stand-in's ``envoy``."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_kinda.build import on_demand
from pytest_kinda.plan import plan
from pytest_kinda.setup import doctor, images, prepare
from pytest_kinda.setup.load_balancer_image import LoadBalancerImage, LoadBalancerStep
from pytest_kinda.setup.registry import Choice, load_balancer_reference
from pytest_kinda.setup.steps import Policy
from tests.support.declared import three_controls, triangle
from tests.unit.test_setup_looking import answers  # noqa: F401

NAME = images.image("load-balancer")


def program() -> ModuleType:
    path = images.recipes() / "load-balancer/usr/local/bin/envoy"
    loader = importlib.machinery.SourceFileLoader("envoy", str(path))
    spec = importlib.util.spec_from_loader("envoy", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


envoy = program()


def socket(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def clusters(*servers: str, **settings: Any) -> dict[str, Any]:
    check = {
        "timeout": "3s",
        "interval": "2s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/healthz"},
    }
    one = {
        "name": "servers",
        "connect_timeout": "0.25s",
        "lb_policy": "ROUND_ROBIN",
        "dns_lookup_family": "V4_PREFERRED",
        "health_checks": [check],
        "transport_socket_matches": [{"name": "tls"}],
        "load_assignment": {
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": socket(one, 6443)}} for one in servers]}
            ]
        },
    }
    return {"resources": [{**one, **settings}]}


def listeners(host: str = "0.0.0.0", target: str = "servers", **proxy: Any) -> dict[str, Any]:
    config = {"@type": envoy.TCP_PROXY, "cluster": target, **proxy}
    chain = {"filters": [{"name": "tcp", "typed_config": config}]}
    return {"resources": [{"name": "api", "address": socket(host, 6443), "filter_chains": [chain]}]}


NAMES = ("a-control-plane", "a-control-plane2")


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


def test_what_the_files_say_is_what_haproxy_is_told() -> None:
    text = envoy.configuration(clusters(*NAMES), listeners())
    found = lines(text)
    for wanted in (
        "bind 0.0.0.0:6443",
        "default_backend servers",
        "backend servers",
        "balance roundrobin",
        "timeout connect 2000ms",
        "timeout check 3000ms",
        "option httpchk GET /healthz",
        "server a-control-plane a-control-plane:6443",
        "server a-control-plane2 a-control-plane2:6443",
    ):
        assert wanted in found
    assert "use_backend servers-any if { nbsrv(servers) eq 0 }" in found
    options, others = (one for one in found if one.startswith("default-server"))
    assert "ssl" not in others
    assert [one.split()[1] for one in found if one.startswith("server ")] == 2 * list(NAMES)
    for wanted in (
        "inter 2000ms",
        "rise 1",
        "fall 2",
        "check-ssl verify none",
        "shutdown-sessions",
    ):
        assert wanted in options


def test_addresses_of_the_newer_internet_are_written_in_brackets() -> None:
    text = envoy.configuration(clusters("fd00::1", dns_lookup_family="AUTO"), listeners(host="::"))
    assert "bind [::]:6443" in lines(text)
    assert "server fd00__1 [fd00::1]:6443" in lines(text)
    assert "resolve-prefer ipv6" in text


def test_before_kind_has_written_anything_nothing_is_listened_for() -> None:
    nothing: dict[str, Any] = {"resources": []}
    assert envoy.configuration(nothing, nothing) == ""
    assert envoy.configuration(clusters("a"), nothing) == ""


@pytest.mark.parametrize(
    ("told", "listened", "why"),
    [
        (clusters("a"), listeners(target="others"), "names an unknown cluster others"),
        (clusters("a", lb_policy="MAGLEV"), listeners(), "has the policy MAGLEV"),
        (clusters("a", connect_timeout="1h"), listeners(), "'1h' is no duration"),
        (clusters("a b"), listeners(), "'a b' is no address"),
        (clusters("a", load_assignment={}), listeners(), "a part is missing"),
        (clusters("a"), listeners(**{"@type": "Http"}), "has a Http, not a"),
        (clusters("a", health_checks=[{}, {}]), listeners(), "has 2 health checks"),
    ],
)
def test_what_it_cannot_do_is_refused_with_the_reason(told: Any, listened: Any, why: str) -> None:
    with pytest.raises(envoy.Refused, match=why):
        envoy.configuration(told, listened)


def test_the_bootstrap_file_names_the_files() -> None:
    def source(path: str) -> dict[str, Any]:
        return {"path_config_source": {"path": path}}

    resources = {"cds_config": source("/a/cds.yaml"), "lds_config": source("/a/lds.yaml")}
    assert envoy.paths({"dynamic_resources": resources}) == ("/a/cds.yaml", "/a/lds.yaml")
    with pytest.raises(envoy.Refused, match="names no files"):
        envoy.paths({"static_resources": {}})


def test_a_file_that_was_replaced_is_another_one(tmp_path: Path) -> None:
    (tmp_path / "cds.yaml").write_text("resources: []")
    before = envoy.stamp(tmp_path / "cds.yaml")
    (tmp_path / "new").write_text("resources: []")
    (tmp_path / "new").replace(tmp_path / "cds.yaml")
    assert envoy.stamp(tmp_path / "cds.yaml") != before
    assert envoy.stamp(tmp_path / "none") is None


def step(official: bool | None = None) -> LoadBalancerStep:
    return LoadBalancerStep(Policy(official), Choice(False, lambda line: None))


def local(origin: str, recipe: str) -> dict[str, Any]:
    labels = {images.RECIPE_LABEL: recipe, images.ORIGIN_LABEL: origin}
    return {"Id": "sha256:1", "RepoTags": [NAME], "Labels": labels}


def test_the_image_is_missing_ours_or_the_published_one(
    answers: dict[str, Any],  # noqa: F811
) -> None:
    answers["/images/json"] = []
    missing = step().check()
    assert not missing.ok
    assert missing.remedy == "kinda setup --with load-balancer"

    answers["/images/json"] = [local("stand-in", LoadBalancerImage().recipe("stand-in"))]
    answers[f"/images/{NAME.replace('/', '%2F').replace(':', '%3A')}/json"] = {
        "Config": {"Labels": answers["/images/json"][0]["Labels"]}
    }
    ours = step().check()
    assert ours.ok
    assert "stand-in" in ours.text
    assert "kinda setup --with load-balancer --official" in ours.warning
    assert not step(official=True).check().ok
    answers["/images/json"] = [local("stand-in", "of before")]
    assert "another recipe" in step().check().text

    answers["/images/json"] = []
    answers[f"/images/{NAME.replace('/', '%2F').replace(':', '%3A')}/json"] = {
        "Config": {"Labels": None}
    }
    published = step().check()
    assert published.ok
    assert "official" in published.text
    assert not step(official=False).check().ok


def test_the_doctor_says_that_a_build_makes_it(answers: dict[str, Any]) -> None:  # noqa: F811
    answers["/images/json"] = []
    answers["/version"] = {"Version": "26.1.5"}
    found = {one.name: one for one in doctor.examine()}
    assert found["base image"].state == "missing"
    assert found["load balancer image"].state == "warning"
    assert "made by the first build that needs it" in found["load balancer image"].found


def test_the_ordinary_preparation_leaves_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[list[str]] = []

    def note(steps: Any, report: Any) -> int:
        done.append([one.name for one in steps])
        return 0

    monkeypatch.setattr("pytest_kinda.setup.carry_out", note)
    for arguments in ({}, {"beside": ["load-balancer"]}, {"only": ["load-balancer"]}):
        assert prepare(report=lambda line: None, **arguments) == 0  # type: ignore[arg-type]
    ordinary, with_it, alone = done
    assert with_it == [*ordinary, "load balancer image"]
    assert "ovs image" not in with_it
    assert alone == ["load balancer image"]


def test_only_a_build_of_several_control_planes_needs_it() -> None:
    assert on_demand.images_of(plan(three_controls())) == ["load-balancer"]
    assert on_demand.images_of(plan(triangle())) == []


def test_a_mirror_has_it_under_the_same_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINDA_REGISTRY", "mirror:5000")
    assert load_balancer_reference() == f"mirror:5000/{NAME}"

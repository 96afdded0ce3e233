"""A kind of device of somebody else's package: declared, read from a file, written, planned."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import ClassVar

import pytest

from pytest_kinda import Host, Link, Topology
from pytest_kinda.devices.device import Device
from pytest_kinda.errors import KindaError
from pytest_kinda.plan import plan
from pytest_kinda.plan.context import DeviceContext
from pytest_kinda.plan.values import DeviceSpec
from pytest_kinda.readers import kinds, read, to_yaml


@dataclass(frozen=True, repr=False)
class Beacon(Device):
    """Says how bright it is in its environment."""

    kind: ClassVar[str] = "beacon"
    light: int = 1

    def specification(self, context: DeviceContext) -> DeviceSpec:
        spec = super().specification(context)
        return dataclasses.replace(spec, env={**spec.env, "LIGHT": str(self.light)})


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    kinds.kinds.cache_clear()
    yield
    kinds.kinds.cache_clear()


def installed(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    entry = metadata.EntryPoint("beacon", value, kinds.GROUP)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [entry] * (group == kinds.GROUP))


def test_it_is_read_and_written_and_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, f"{__name__}:Beacon")
    declared = Topology("t", [Beacon("b1", light=7), Host("h1")], [Link("b1", "h1")])
    (tmp_path / "t.yaml").write_text(to_yaml(declared))
    assert read(tmp_path / "t.yaml") == declared
    device = plan(declared).node("b1").device
    assert device is not None
    assert device.env == {"LIGHT": "7"}


def test_a_package_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "no_such_package:Beacon")
    with pytest.raises(KindaError, match=r"beacon \(no_such_package:Beacon\) cannot be loaded"):
        kinds.kinds()

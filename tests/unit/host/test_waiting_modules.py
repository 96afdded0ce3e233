"""A module that waits is told apart from one that is loaded and one that is not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_kinda.host.facts import module_waits


@pytest.fixture
def kernel(tmp_path: Path) -> tuple[Path, Path]:
    folder = tmp_path / "modules" / os.uname().release
    folder.mkdir(parents=True)
    (folder / "modules.dep").write_text("kernel/net/ipv4/ip_gre.ko.xz: kernel/net/ipv4/gre.ko.xz\n")
    (tmp_path / "loaded" / "gre").mkdir(parents=True)
    return tmp_path / "loaded", tmp_path / "modules"


def test_a_module_that_is_only_on_disk_waits(kernel: tuple[Path, Path]) -> None:
    assert module_waits("ip_gre", *kernel)


def test_a_loaded_or_unknown_module_does_not(kernel: tuple[Path, Path]) -> None:
    assert not module_waits("gre", *kernel)
    assert not module_waits("ipip", *kernel)


def test_a_kernel_without_a_list_has_none(tmp_path: Path) -> None:
    assert not module_waits("ip_gre", tmp_path, tmp_path)

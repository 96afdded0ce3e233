"""P4 programs of devices: compiled on this machine, and copied in with the other files."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from pytest_kinda.errors import BuildError, KindaError
from pytest_kinda.p4 import compile_program, translate
from pytest_kinda.p4.reading import parse_program
from pytest_kinda.plan.values import DeviceSpec, FileSpec, NodePlan, Plan, ProgramSpec

STEP = "P4 programs"


def program_names(plan: Plan) -> list[str]:
    """What authors call the programs of a plan's devices, each once."""
    return list(dict.fromkeys(one.name for each in plan.devices for one in _of(each)))


def make_programs(plan: Plan) -> None:
    """Compile every program that is not in the cache, side by side.

    Raises BuildError that names the program.
    """
    wanted = {
        _source(node.device, one): one.name
        for node in plan.devices
        if node.device is not None
        for one in _of(node)
    }

    def make(text: str) -> None:
        try:
            _compiled(text)
        except KindaError as error:
            raise BuildError(
                STEP, f"{wanted[text]}: {error.message}", remedy=error.remedy
            ) from error

    with ThreadPoolExecutor(os.cpu_count() or 1, "p4") as pool:
        for one in [pool.submit(make, text) for text in wanted]:
            one.result()


def files_of(device: DeviceSpec) -> Sequence[FileSpec]:
    """A device's files, with the programs that are made for it. Raises ProgramError."""
    made = [
        FileSpec(
            one.path,
            base64=base64.b64encode(_compiled(_source(device, one)).read_bytes()).decode(),
            mode=0o755,
        )
        for one in device.programs
    ]
    return (*device.files, *made)


def _of(node: NodePlan) -> tuple[ProgramSpec, ...]:
    return node.device.programs if node.device is not None else ()


def _source(device: DeviceSpec, program: ProgramSpec) -> str:
    return next(one.text for one in device.files if one.path == program.source)


@lru_cache(maxsize=64)
def _compiled(text: str) -> Path:
    return compile_program(translate(parse_program(text.encode(), "program")))

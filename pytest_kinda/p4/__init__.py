"""P4 programs: BMv2's JSON read, translated to C, compiled, run and programmed.

The ``native`` engine. ``read_program`` -> ``translate`` -> ``compile_program`` make a static
program of a JSON file; ``Control`` programs whatever runs it, ``FileSwitch`` runs it on packets
from a test. What is not covered is refused by ``NotCoveredError``.
"""

from pytest_kinda.p4.compiling import compile_program
from pytest_kinda.p4.control import Control, NewEntry
from pytest_kinda.p4.files import FileSwitch, Frame
from pytest_kinda.p4.reading import read_program
from pytest_kinda.p4.translation import translate

__all__ = [
    "Control",
    "FileSwitch",
    "Frame",
    "NewEntry",
    "compile_program",
    "read_program",
    "translate",
]

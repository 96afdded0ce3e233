"""One door to all kinds of drawing."""

from __future__ import annotations

import shutil
import subprocess

from pytest_kinda.drawing.picture import picture
from pytest_kinda.drawing.svg import svg
from pytest_kinda.drawing.text import dot, mermaid
from pytest_kinda.errors import KindaError
from pytest_kinda.plan import Plan
from pytest_kinda.topology import Topology

FORMATS = ("svg", "png", "mermaid", "dot")
SUFFIXES = {".svg": "svg", ".png": "png", ".mmd": "mermaid", ".dot": "dot", ".gv": "dot"}


def draw(subject: Topology | Plan, form: str = "svg") -> bytes:
    """A drawing of a topology, or of a plan with its addresses.

    ``form`` is ``svg``, ``mermaid``, ``dot``, or ``png``, which needs Graphviz's program ``dot``.
    Raises KindaError for another form, and where Graphviz is missing or fails.

    >>> draw(triangle, "mermaid").decode().splitlines()[0]
    'graph TD'
    """
    shown = picture(subject)
    if form == "svg":
        return svg(shown).encode()
    if form == "mermaid":
        return mermaid(shown).encode()
    if form == "dot":
        return dot(shown).encode()
    if form == "png":
        return _png(dot(shown))
    raise KindaError(f"drawing: found {form!r}; expected one of {', '.join(FORMATS)}")


def _png(text: str) -> bytes:
    program = shutil.which("dot")
    if program is None:
        raise KindaError(
            "drawing a PNG needs Graphviz, and there is no program 'dot' on PATH",
            remedy="install Graphviz (package graphviz), or draw svg, which needs nothing",
        )
    done = subprocess.run(
        [program, "-Tpng"], input=text.encode(), capture_output=True, timeout=120, check=False
    )
    if done.returncode:
        raise KindaError(f"Graphviz: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout

"""Bootstraps of a tenth of their samples: their intervals end where they would, within a little."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_kinda.experiment import statistics


@pytest.fixture(autouse=True, scope="module")
def quick_bootstraps() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "RESAMPLES", 400)
        yield

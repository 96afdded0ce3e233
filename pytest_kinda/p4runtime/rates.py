"""The rates of meters: a second's packets or bytes here, a microsecond's in the switch."""

from __future__ import annotations

from typing import Any

from finsy.proto import p4r

from pytest_kinda.p4runtime.refusal import invalid


def meter_words(config: Any | None) -> str:
    """The words of a meter's rates; empty for none: each packet is green. Raises Refusal."""
    if config is None:
        return ""
    numbers = (config.cir, config.cburst, config.pir, config.pburst)
    if min(numbers) < 0 or config.cir > config.pir:
        raise invalid(
            f"meter: found cir {config.cir}, cburst {config.cburst}, pir {config.pir}, pburst "
            f"{config.pburst}; expected none below 0, and cir no higher than pir"
        )
    return f"{config.cir / 1e6!r} {config.cburst} {config.pir / 1e6!r} {config.pburst}"


def meter_message(line: str) -> Any:
    """The rates that the switch has told."""
    cir, cburst, pir, pburst = line.split()
    return p4r.MeterConfig(
        cir=round(float(cir) * 1e6),
        cburst=int(cburst),
        pir=round(float(pir) * 1e6),
        pburst=int(pburst),
    )

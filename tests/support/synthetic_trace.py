"""Makes the trace that comes with the package: ``python -m tests.support.synthetic_trace``.

Arrivals are Poisson with a quarter of an hour that is four times as busy, sizes and durations are
lognormal: what cluster traces have in common. Nothing in it is taken from one.
"""

from __future__ import annotations

import random

from pytest_kinda.experiment.traces import SYNTHETIC

HEADER = (
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,"
    "creation_time,deletion_time,scheduled_time"
)
PODS = 200
SIZES = (250, 500, 1000, 2000, 4000, 8000)


def made() -> str:
    drawn = random.Random(2026)
    lines, now = [HEADER], 0.0
    for number in range(PODS):
        cpu = drawn.choices(SIZES, (8, 10, 8, 4, 2, 1))[0]
        memory = 2 * cpu + 128 * drawn.randrange(8)
        gpus = drawn.choices((0, 1, 2), (12, 3, 1))[0]
        qos = drawn.choices(("LS", "BE", "Burstable"), (5, 3, 1))[0]
        lasts = max(5, round(drawn.lognormvariate(5.0, 1.0)))
        waited = drawn.choice((0, 0, 0, 1, 2))
        at = round(now)
        lines.append(
            f"pod-{number:04d},{cpu},{memory},{gpus},{1000 * bool(gpus)},,{qos},Succeeded,"
            f"{at},{at + waited + lasts},{at + waited}"
        )
        now += drawn.expovariate(1 / 8 if 900 <= now < 1800 else 1 / 30)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    SYNTHETIC.parent.mkdir(exist_ok=True)
    SYNTHETIC.write_text(made())

"""Re-wire containers that start again: ``python -m pytest_kinda.build.watch DIRECTORY``.

A child of the keeper from the end of the build to the undo, which ends it first; so it serves kept
testbeds too. If it dies the keeper starts it again, and it goes on with what it had not ended: it
asks the keeper how far each node had come. Nodes are wired one after another, which takes
milliseconds; the start-up commands of devices, which may wait for each other, run side by side.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pytest_kinda.build.awaiting import wait_until
from pytest_kinda.build.catalogue import open_standing
from pytest_kinda.build.engine_api import Events, docker_request
from pytest_kinda.build.rewiring import Rewiring
from pytest_kinda.errors import HostError, KindaError

_AT_ONCE = 16
_ENGINE_LIMIT = 3600.0
"""Seconds that the Docker Engine may be away, as while it is being upgraded."""


class Watch:
    """The watch over one testbed that stands."""

    def __init__(self, directory: Path) -> None:
        standing = open_standing(directory)
        self.keeper = standing.keeper
        self.plan = standing.plan
        self.names = {container: name for name, container in standing.containers.items()}
        self.rewiring = Rewiring(self.keeper, self.plan, standing.id, standing.places)
        self.pool = ThreadPoolExecutor(_AT_ONCE, "start")

    def run(self) -> None:
        """Watch until the keeper ends this. Raises HostError where keeper or Engine are gone."""
        for unended, state in self._broken_off():
            print(f"{unended} had come as far as {state}", flush=True)
            if state == "wiring":
                self._rewire(unended)
            else:
                self.pool.submit(self._start, unended, run=False)
        for container in self._started():
            name = self.names.get(container)
            if name is not None and self.rewiring.restarted(name):
                self._rewire(name)

    def _broken_off(self) -> Iterator[tuple[str, str]]:
        """Nodes that a watch before this one began with and did not bring to an end."""
        for name, facts in self.keeper.restarts().items():
            place = self.rewiring.places[name]
            same = (facts.get("pid"), facts.get("started")) == (place.pid, place.started)
            if same and facts["state"] in ("wiring", "started"):
                yield name, str(facts["state"])

    def _started(self) -> Iterator[str]:
        """Containers that may have been started, for ever."""
        while True:
            events = Events(type=["container"], event=["start"], container=list(self.names))
            print("watching", flush=True)
            # what started before the events began, or while the Engine was away
            yield from self.names
            try:
                for event in events:
                    yield str(event["Actor"]["ID"])
            except HostError as error:
                print(error, flush=True)
            finally:
                events.close()
            wait_until(_engine_silence, "the Docker Engine", limit=_ENGINE_LIMIT, interval=0.5)

    def _rewire(self, name: str) -> None:
        print(f"{name} has started again", flush=True)
        try:
            self.rewiring.wire(name)
        except KindaError as error:
            self._tell(name, "failed", error.message)
            return
        self.pool.submit(self._start, name)

    def _start(self, name: str, *, run: bool = True) -> None:
        try:
            if run:
                self.rewiring.start(name)
            self._tell(name, "started")
            unready = self.rewiring.unready(name)
        except KindaError as error:
            self._tell(name, "failed", error.message)
        except Exception as error:
            # nobody asks this thread for its end: whoever waits for the node must hear of it
            traceback.print_exc()
            self._tell(name, "failed", repr(error))
        else:
            # a network that is broken on purpose may keep a router from what it waits for
            self._tell(name, "unready" if unready else "ready", unready)

    def _tell(self, name: str, state: str, why: str = "") -> None:
        place = self.rewiring.places[name]
        self.keeper.restarted(name, state=state, why=why, pid=place.pid, started=place.started)


def _engine_silence() -> str:
    try:
        docker_request("GET", "/_ping")
    except HostError as error:
        return error.message
    except ValueError:
        pass  # it answers with a word that is no JSON
    return ""


def main(argv: list[str]) -> int:
    """The program; ends with an error only."""
    if len(argv) != 1:
        print("usage: python -m pytest_kinda.build.watch DIRECTORY", file=sys.stderr)
        return 2
    Watch(Path(argv[0])).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

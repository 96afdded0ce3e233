"""A scheduler's extender: functions of Python that the scheduler asks over HTTP.

The protocol is that of ``k8s.io/kube-scheduler/extender/v1``, with nodes by name. Each answer is
one write: a scheduler asks once for each pod, and headers in a packet of their own cost each pod
the 40 ms of a delayed acknowledgement.
"""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pytest_kinda.errors import HostError, SchedulerError
from pytest_kinda.scheduling.choice import Filter, Score
from pytest_kinda.scheduling.configuration import Extender

PROBE = "pytest-kinda/probe"
"""The label of the pod by which a scheduler shows that it works; no function is asked about it."""
HIGHEST = 10


class ExtenderServer:
    """Serves two functions on an address of this machine, until it is closed.

    Raises HostError where the address cannot be had. What a function raises is an error of the
    pod's scheduling, and :meth:`failure` tells it to whoever waits.
    """

    def __init__(self, address: str, filter: Filter | None, score: Score | None) -> None:
        self._filter = filter
        self._score = score
        self._failure = ""
        self.asked = 0
        """How many questions it was asked, those about probes too."""
        try:
            self._server = _Server((address, 0), _handler_of(self))
        except OSError as error:
            raise HostError(f"no extender can be served on {address}: {error}") from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="extender"
        )
        self._thread.daemon = True
        self._thread.start()
        host, port = self._server.server_address[:2]
        self.host, self.port = str(host), int(port)

    @property
    def entry(self) -> Extender:
        """It as a scheduler's configuration names it."""
        url = f"http://{self.host}:{self.port}"
        return Extender(url, self._filter is not None, self._score is not None)

    @property
    def failure(self) -> str:
        """What the first failure of a function was; empty where there was none."""
        return self._failure

    def close(self) -> None:
        """Serve no more; a second time does nothing."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5.0)

    def answer(self, verb: str, asked: Mapping[str, Any]) -> Any:
        """The answer to a question, as it goes over the wire. Raises SchedulerError."""
        pod, nodes = asked["Pod"], tuple(asked.get("NodeNames") or ())
        self.asked += 1
        probe = PROBE in (pod["metadata"].get("labels") or {})
        try:
            if verb == "filter":
                refused = self._filter(pod, nodes) if self._filter and not probe else {}
                return filtered(nodes, refused)
            scores = self._score(pod, nodes) if self._score and not probe else {}
            return scored(nodes, scores)
        except Exception as error:  # whatever an author's function raises is told as it is
            told = "".join(traceback.format_exception(error)).rstrip()
            text = f"the extender's {verb} failed for pod {pod['metadata']['name']}:\n{told}"
            self._failure = self._failure or text
            raise SchedulerError(f"{type(error).__name__}: {error}") from error


def filtered(nodes: Sequence[str], refused: Mapping[str, str]) -> dict[str, Any]:
    """The answer to ``filter``: which nodes stay. Raises SchedulerError for another's name.

    >>> filtered(["w1", "w2"], {"w2": "its link is busy"})["NodeNames"]
    ['w1']
    """
    _known(nodes, refused, "refused")
    return {
        "NodeNames": [one for one in nodes if one not in refused],
        "FailedNodes": {name: str(reason) for name, reason in refused.items()},
    }


def scored(nodes: Sequence[str], scores: Mapping[str, float]) -> list[dict[str, Any]]:
    """The answer to ``prioritize``. Raises SchedulerError for a score that is not of 0 to 10.

    >>> scored(["w1", "w2"], {"w2": 7.6})
    [{'Host': 'w1', 'Score': 0}, {'Host': 'w2', 'Score': 8}]
    """
    _known(nodes, scores, "scored")
    for name, value in scores.items():
        if not 0 <= value <= HIGHEST:
            raise SchedulerError(f"{name} is scored {value!r}; expected 0 to {HIGHEST}")
    return [{"Host": name, "Score": round(scores.get(name, 0))} for name in nodes]


def _known(nodes: Sequence[str], given: object, what: str) -> None:
    if not isinstance(given, Mapping):
        raise SchedulerError(f"it gave {given!r}; expected a dict by the names of nodes")
    if others := [name for name in given if name not in nodes]:
        raise SchedulerError(f"{others[0]!r} is {what}; it was asked about {', '.join(nodes)}")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


def _handler_of(server: ExtenderServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body together
        disable_nagle_algorithm = True
        timeout = 300

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            try:
                asked = json.loads(self.rfile.read(length))
                status, answer = 200, server.answer(self.path.strip("/"), asked)
            except SchedulerError as error:
                # of a filter the scheduler reads the reason, of scores the status alone
                status = 200 if self.path == "/filter" else 500
                answer = {"Error": error.message}
            except (ValueError, KeyError, TypeError) as error:
                status, answer = 400, {"Error": f"no question of a scheduler: {error!r}"}
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: what fails is told where it is waited for."""

    return Handler

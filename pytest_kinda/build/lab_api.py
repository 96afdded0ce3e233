"""A lab's API server as its own processes ask it: one connection each, nothing to import.

``testbed.api`` is what tests have; the process that plays the kubelets would be three times as
large with it.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytest_kinda.errors import ClusterError

_LIMIT = 30.0


class LabApi:
    """One connection to a lab's API server, for one thread. All calls raise ClusterError.

    ``other`` ("127.0.0.1:10259") is a component of it that knows the same users, and has made the
    certificate ``authority`` itself.
    """

    def __init__(self, kubeconfig: Path, other: str = "", authority: Path | None = None) -> None:
        found = json.loads(kubeconfig.read_text())  # which we wrote
        cluster = found["clusters"][0]["cluster"]
        self._where = other or str(urlsplit(cluster["server"]).netloc)
        self._authority = str(authority or cluster["certificate-authority"])
        self._token = str(found["users"][0]["user"]["token"])
        self._connection: http.client.HTTPSConnection | None = None

    def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> Any:
        """The decoded JSON answer; a connection that the server has closed is made anew."""
        for again in (True, False):
            known = self._connection is not None
            try:
                answer = self._ask(method, path, body, content_type, _LIMIT)
                text = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if again and known:
                    continue
                raise ClusterError(f"{method} {path}: {error or type(error).__name__}") from error
            break
        if answer.status >= 400:
            raise ClusterError(
                f"{method} {path}: {text[:500].decode(errors='replace')} ({answer.status})",
                status=answer.status,
            )
        return json.loads(text)

    def put(self, path: str, text: str) -> None:
        """Send a plain text and close the connection."""
        try:
            answer = self._ask("PUT", path, text, "text/plain", _LIMIT)
            said = answer.read()[:500].decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise ClusterError(f"PUT {path}: {error or type(error).__name__}") from error
        finally:
            self.close()
        if answer.status >= 400:
            raise ClusterError(f"PUT {path}: {said} ({answer.status})", status=answer.status)

    def watch(self, path: str, timeout: int) -> Iterator[tuple[str, Any]]:
        """Events (type, object) until the server ends the watch, after ``timeout`` seconds."""
        asked = f"{path}&watch=1&timeoutSeconds={timeout}"
        try:
            answer = self._ask("GET", asked, None, "", timeout + _LIMIT)
            if answer.status >= 400:
                text = answer.read()[:500].decode(errors="replace")
                raise ClusterError(f"watch {path}: {text}", status=answer.status)
            for line in answer:
                event = json.loads(line)
                yield str(event["type"]), event["object"]
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ClusterError(f"watch {path}: {error}") from error
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the connection; the next request makes another."""
        if self._connection is not None:
            with suppress(OSError):
                self._connection.close()
            self._connection = None

    def _ask(
        self, method: str, path: str, body: Any, content_type: str, timeout: float
    ) -> http.client.HTTPResponse:
        if self._connection is None:
            trusted = ssl.create_default_context(cafile=self._authority)
            self._connection = http.client.HTTPSConnection(
                self._where, timeout=timeout, context=trusted
            )
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        data = None
        if body is not None:
            data = (body if content_type == "text/plain" else json.dumps(body)).encode()
            headers["Content-Type"] = content_type
        self._connection.request(method, path, data, headers)
        return self._connection.getresponse()

"""An API server as processes of ours ask it: one connection each, next to nothing to import.

``testbed.api`` is what tests have; the process that plays the kubelets would be three times as
large with it.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytest_kinda.errors import ClusterError

_LIMIT = 30.0


class LabApi:
    """One connection to the API server of a lab or of a kind cluster, for one thread.

    ``other`` ("127.0.0.1:10259") is a component of a lab that knows the same users, and has made
    the certificate ``authority`` itself. All calls raise ClusterError.
    """

    def __init__(self, kubeconfig: Path, other: str = "", authority: Path | None = None) -> None:
        found = _read(kubeconfig)
        cluster = found["clusters"][0]["cluster"]
        user = found["users"][0]["user"]
        self._where = other or str(urlsplit(cluster["server"]).netloc)
        # made when it is needed: the certificate may be there a moment later
        self._trusting = partial(_trusting, cluster, user, authority)
        self._token = str(user.get("token", ""))
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

    def watch(
        self, path: str, timeout: int, wanted: Callable[[bytes], bool] = lambda line: True
    ) -> Iterator[tuple[str, Any]]:
        """Events (type, object) until the server ends the watch, after ``timeout`` seconds.

        Only those are decoded whose line of JSON is ``wanted``.
        """
        asked = f"{path}&watch=1&timeoutSeconds={timeout}"
        try:
            answer = self._ask("GET", asked, None, "", timeout + _LIMIT)
            if answer.status >= 400:
                text = answer.read()[:500].decode(errors="replace")
                raise ClusterError(f"watch {path}: {text}", status=answer.status)
            for line in filter(wanted, answer):
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
            self._connection = http.client.HTTPSConnection(
                self._where, timeout=timeout, context=self._trusting()
            )
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None
        if body is not None:
            data = (body if content_type == "text/plain" else json.dumps(body)).encode()
            headers["Content-Type"] = content_type
        self._connection.request(method, path, data, headers)
        return self._connection.getresponse()


def _read(kubeconfig: Path) -> Any:
    """A kubeconfig: ours of a lab are JSON, which needs no parser of YAML, others' are YAML."""
    text = kubeconfig.read_text()
    if text.startswith("{"):
        return json.loads(text)
    import yaml

    return yaml.safe_load(text)


def _trusting(
    cluster: Mapping[str, Any], user: Mapping[str, Any], authority: Path | None
) -> ssl.SSLContext:
    """What trusts a cluster's certificate, and shows the user's where it has one."""
    if authority is None and (data := cluster.get("certificate-authority-data")):
        made = ssl.create_default_context(cadata=base64.b64decode(data).decode())
    else:
        made = ssl.create_default_context(cafile=str(authority or cluster["certificate-authority"]))
    if shown := user.get("client-certificate-data"):
        # from memory: what is in no file is nobody's to find
        handle = os.memfd_create("certificate", os.MFD_CLOEXEC)
        with os.fdopen(handle, "wb", buffering=0) as file:
            file.write(base64.b64decode(shown) + b"\n" + base64.b64decode(user["client-key-data"]))
            made.load_cert_chain(f"/proc/self/fd/{handle}")
    return made

"""The API server, as the handles talk to it: JSON over HTTPS, watches, and websockets.

The kubernetes package reads the kubeconfig (every kind of one) and is what tests are given as
``cluster.client``; the handles' own requests are plain JSON, which does not change between its
releases.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

from pytest_kinda.errors import ClusterError

Query = Mapping[str, Any]


class Api:
    """One cluster's API server. Safe to use from several threads."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self._lock = threading.Lock()
        self._client: Any = None
        self._pool: urllib3.PoolManager | None = None
        self.alarms: list[Callable[[], None]] = []
        """What ends a wait that has become hopeless: each raises why, or does nothing."""

    def sound_alarms(self) -> None:
        """Raise what an alarm has to say. Whoever waits for the cluster asks between two looks."""
        for alarm in tuple(self.alarms):
            alarm()

    @property
    def client(self) -> Any:
        """A configured ``kubernetes.client.ApiClient``. Raises ClusterError."""
        with self._lock:
            if self._client is None:
                from kubernetes import client, config

                wanted = client.Configuration()
                try:
                    config.load_kube_config(
                        config_file=str(self.kubeconfig), client_configuration=wanted
                    )
                except config.ConfigException as error:
                    raise ClusterError(f"kubeconfig {self.kubeconfig}: {error}") from error
                # The cluster is on this machine or reached directly; a proxy is for elsewhere.
                wanted.proxy = None
                self._client = client.ApiClient(wanted)
            return self._client

    @property
    def _configuration(self) -> Any:
        return self.client.configuration

    def _connections(self) -> urllib3.PoolManager:
        wanted = self._configuration
        with self._lock:
            if self._pool is None:
                self._pool = urllib3.PoolManager(
                    maxsize=16,
                    block=False,
                    cert_reqs="CERT_REQUIRED" if wanted.verify_ssl else "CERT_NONE",
                    ca_certs=wanted.ssl_ca_cert,
                    cert_file=wanted.cert_file,
                    key_file=wanted.key_file,
                    retries=False,
                )
            return self._pool

    def _headers(self) -> dict[str, str]:
        wanted = self._configuration
        # under which name releases of the client keep a token differs
        names = ("BearerToken", "authorization")
        token = next(filter(None, map(wanted.get_api_key_with_prefix, names)), "")
        return {"Authorization": token} if token else {}

    def _open(
        self,
        method: str,
        path: str,
        query: Query | None,
        body: Any,
        content_type: str,
        timeout: urllib3.Timeout,
    ) -> urllib3.BaseHTTPResponse:
        url = f"{self._configuration.host}{path}" + (f"?{urlencode(query, True)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", **self._headers()}
        if data is not None:
            headers["Content-Type"] = content_type
        try:
            answer = self._connections().request(
                method, url, body=data, headers=headers, timeout=timeout, preload_content=False
            )
        except urllib3.exceptions.HTTPError as error:
            raise ClusterError(
                f"the API server does not answer {method} {path}: {error}"
            ) from error
        if answer.status >= 400:
            text = answer.read().decode("utf-8", "replace")
            answer.release_conn()
            raise ClusterError(
                f"the API server refused {method} {path}: {_message(text)} ({answer.status})",
                status=answer.status,
            )
        return answer

    def request(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Any = None,
        *,
        content_type: str = "application/json",
        timeout: float = 30.0,
        text: bool = False,
    ) -> Any:
        """The decoded JSON answer, or its text. ``timeout`` in seconds. Raises ClusterError."""
        answer = self._open(method, path, query, body, content_type, urllib3.Timeout(timeout))
        try:
            data = answer.read()
        except urllib3.exceptions.HTTPError as error:
            raise ClusterError(f"the API server broke off {method} {path}: {error}") from error
        finally:
            answer.release_conn()
        return data.decode("utf-8", "replace") if text else json.loads(data)

    def get(self, path: str, query: Query | None = None) -> Any:
        """The object or list at a path. Raises ClusterError."""
        return self.request("GET", path, query)

    def find(self, path: str) -> Any:
        """The object or list at a path; None where there is none. Raises ClusterError."""
        try:
            return self.get(path)
        except ClusterError as error:
            if error.status != 404:
                raise
            return None

    def watch(self, path: str, query: Query, *, timeout: float) -> Iterator[tuple[str, Any]]:
        """Events (type, object) of a list until ``timeout`` seconds have passed.

        It begins with an ADDED for everything that is there. Raises ClusterError.
        """
        wanted = {**query, "watch": "1", "timeoutSeconds": str(max(1, round(timeout)))}
        answer = self._open(
            "GET", path, wanted, None, "", urllib3.Timeout(connect=10.0, read=timeout + 5.0)
        )
        try:
            rest = b""
            for piece in answer.stream(65536):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    if line.strip():
                        event = json.loads(line)
                        yield str(event["type"]), event["object"]
        except urllib3.exceptions.HTTPError as error:
            raise ClusterError(f"the API server broke off the watch of {path}: {error}") from error
        finally:
            answer.close()

    def websocket(self, path: str, query: Query, protocols: tuple[str, ...]) -> Any:
        """An open ``websocket.WebSocket``. Raises ClusterError."""
        import websocket

        wanted = self._configuration
        host = wanted.host.replace("https://", "wss://", 1).replace("http://", "ws://", 1)
        options: dict[str, Any] = {"cert_reqs": ssl.CERT_REQUIRED}
        if not wanted.verify_ssl:
            options = {"cert_reqs": ssl.CERT_NONE, "check_hostname": False}
        for option, value in (
            ("ca_certs", wanted.ssl_ca_cert),
            ("certfile", wanted.cert_file),
            ("keyfile", wanted.key_file),
        ):
            if value:
                options[option] = value
        opened: Any = websocket.WebSocket(sslopt=options, enable_multithread=True)
        opened.settimeout(30.0)
        try:
            opened.connect(
                f"{host}{path}?{urlencode(query, True)}",
                header=self._headers(),
                subprotocols=list(protocols),
                suppress_origin=True,
                http_no_proxy=["*"],
            )
        except websocket.WebSocketBadStatusException as error:
            text = (error.resp_body or b"").decode("utf-8", "replace")
            raise ClusterError(
                f"the API server refused {path}: {_message(text)} ({error.status_code})",
                status=error.status_code,
            ) from error
        except (OSError, websocket.WebSocketException) as error:
            raise ClusterError(f"the API server does not answer {path}: {error}") from error
        return opened


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()[:500] or "no reason given"

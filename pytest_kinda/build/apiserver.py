"""The little of the Kubernetes API that a build needs: reading lists with a kubeconfig."""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from pytest_kinda.errors import HostError


class ApiReader:
    """GETs of one API server over one connection. Raises HostError for a kubeconfig without use."""

    def __init__(self, kubeconfig: Path) -> None:
        try:
            data = yaml.safe_load(kubeconfig.read_text())
            cluster = data["clusters"][0]["cluster"]
            user = data["users"][0]["user"]
            self.server = urlsplit(cluster["server"])
            self._context = _context(
                cluster["certificate-authority-data"],
                user["client-certificate-data"],
                user["client-key-data"],
            )
        except (KeyError, IndexError, TypeError, ValueError, yaml.YAMLError) as error:
            raise HostError(
                f"{kubeconfig}: not the kubeconfig of a kind cluster: {error!r}"
            ) from None
        self._connection: http.client.HTTPSConnection | None = None

    def get(self, path: str) -> Any:
        """The JSON of a path. Raises HostError where the server does not answer with 200."""
        try:
            connection = self._connected()
            connection.request("GET", path, headers={"Accept": "application/json"})
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise HostError(f"the API server does not answer GET {path}: {error!r}") from error
        if response.status != 200:
            raise HostError(f"API server: GET {path}: {response.status} {body[:300]!r}")
        return json.loads(body)

    def close(self) -> None:
        """Close the connection; the next ``get`` opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> http.client.HTTPSConnection:
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(
                self.server.hostname or "", self.server.port, timeout=10, context=self._context
            )
        return self._connection


def _context(authority: str, certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=base64.b64decode(authority).decode())
    # The ssl module takes a client's certificate from files only.
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "client.pem"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(base64.b64decode(certificate) + b"\n" + base64.b64decode(key))
        context.load_cert_chain(path)
    return context

"""The JSON Schema of descriptions, for whoever reads them in another program."""

from __future__ import annotations

from typing import Any

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_NUMBER = {
    "type": ["integer", "null"],
    "description": "what the device's program calls the port; null where it has no numbers",
}


def _object(description: str = "", **properties: Any) -> dict[str, Any]:
    found = {
        "type": "object",
        "required": list(properties),
        "additionalProperties": False,
        "properties": properties,
    }
    return found | ({"description": description} if description else {})


def _or_null(kind: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [kind, {"type": "null"}]}


def _listed(kind: dict[str, Any], description: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"type": "array", "items": kind}
    return found | ({"description": description} if description else {})


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of what ``kinda describe`` prints as JSON or YAML."""
    testbed = _object("what stands; null for a plan", id=_TEXT, directory=_TEXT,
                      kubeconfig={"type": ["string", "null"]})  # fmt: skip
    cluster = _object(
        api={"type": ["string", "null"], "description": "the API's URL, where a testbed stands"},
        pod_cidrs=_TEXTS,
        service_cidrs=_TEXTS,
        dns=_TEXT,
        pods={"enum": ["gre", "bpf", "vxlan", "routed", "none"]},
    )
    end = _object(node=_TEXT, interface={"type": ["string", "null"]}, port=_NUMBER)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pytest-kinda description of a network",
        **_object(
            schema={"const": 1},
            topology=_TEXT,
            signature=_TEXT,
            engine={"enum": ["kathara", "direct"]},
            testbed=_or_null(testbed),
            cluster=_or_null(cluster),
            nodes=_listed({"$ref": "#/$defs/node"}, "hubs are wires, and none of them"),
            links=_listed(
                _object(
                    name=_TEXT,
                    segment={**_TEXT, "description": "equal for links that a hub joins"},
                    ends={"type": "array", "items": end, "minItems": 2, "maxItems": 2},
                )
            ),
        ),
        "$defs": {"node": _node(), "port": _port()},
    }


def _node() -> dict[str, Any]:
    container = _object("where it runs; null for a plan", id=_TEXT, pid={"type": "integer"})
    return _object(
        name=_TEXT,
        kind=_TEXT,
        role={"enum": ["control-plane", "worker", "device"]},
        endpoints={**_TEXTS, "description": "the addresses that stand for a Kubernetes node"},
        loopback=_TEXTS,
        pod_cidrs=_TEXTS,
        container=_or_null(container),
        ports=_listed({"$ref": "#/$defs/port"}, "in the order of the topology's links"),
        control=_listed(
            _object(
                protocol={**_TEXT, "examples": ["openflow", "p4runtime", "thrift"]},
                address={**_TEXT, "description": "inside of the device: unix:PATH, tcp:HOST:PORT"},
                reached={
                    "type": ["string", "null"],
                    "description": "where this machine reaches it; null where it does not, yet",
                },
            )
        ),
        published={**_TEXTS, "description": "HOST:CONTAINER[/udp]"},
        about={"type": "object", "description": "what the device's kind says of itself"},
        notes=_TEXTS,
    )


def _port() -> dict[str, Any]:
    return _object(
        number=_NUMBER,
        interface=_TEXT,
        segment=_TEXT,
        mac=_TEXT,
        mtu={"type": "integer"},
        addresses={**_TEXTS, "description": "with lengths"},
        rate={"type": ["number", "null"], "description": "bits per second that leave by it"},
        peers=_listed(
            _object(node=_TEXT, interface=_TEXT, port=_NUMBER, mac=_TEXT, addresses=_TEXTS)
        ),
        kubernetes={
            **_TEXTS,
            "description": "the nodes of the cluster behind it, by the fewest links",
        },
    )

"""From a topology to everything that will exist, without touching anything."""

from pytest_kinda.plan.codec import plan_from_json, plan_to_json, signature
from pytest_kinda.plan.context import DeviceContext, DeviceKind
from pytest_kinda.plan.control_plane import control_plane_operations
from pytest_kinda.plan.planner import plan
from pytest_kinda.plan.rewiring import remade_ends, rewire_operations
from pytest_kinda.plan.tunnels import cni_conflist, cni_operations, tunnel_operations
from pytest_kinda.plan.values import HostFacts, Plan, PlanOptions
from pytest_kinda.plan.wiring import (
    configure_operations,
    hosts_operations,
    start_operations,
    wire_operations,
)

__all__ = [
    "DeviceContext",
    "DeviceKind",
    "HostFacts",
    "Plan",
    "PlanOptions",
    "cni_conflist",
    "cni_operations",
    "configure_operations",
    "control_plane_operations",
    "hosts_operations",
    "plan",
    "plan_from_json",
    "plan_to_json",
    "remade_ends",
    "rewire_operations",
    "signature",
    "start_operations",
    "tunnel_operations",
    "wire_operations",
]

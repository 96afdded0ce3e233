"""Why a pod is where it is, from an unmodified kube-scheduler, and nothing that it did not say.

Two sources. The pod's condition counts, for a pod that fits nowhere, how many nodes were refused
for which reason. The log of the scheduler has each plugin's weighted score for each node from
verbosity 10 on, which is set at run time by its own ``/debug/flags/v``. A plugin behind a reason is
told where the text is one of the in-tree plugins' own; else it is left empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

# The reasons of the in-tree plugins of Kubernetes 1.34, as far as they are fixed texts.
_PLUGINS = (
    (r"Insufficient \S+", "NodeResourcesFit"),
    (r"Too many pods", "NodeResourcesFit"),
    (r"node\(s\) had untolerated taint", "TaintToleration"),
    (r"node\(s\) didn't match Pod's node affinity", "NodeAffinity"),
    (r"node\(s\) didn't match pod (anti-)?affinity rules", "InterPodAffinity"),
    (r"node\(s\) didn't satisfy existing pods anti-affinity rules", "InterPodAffinity"),
    (r"node\(s\) didn't match pod topology spread constraints", "PodTopologySpread"),
    (r"node\(s\) were unschedulable", "NodeUnschedulable"),
    (r"node\(s\) didn't have free ports", "NodePorts"),
    (r"node\(s\) didn't match the requested node name", "NodeName"),
)
_HEAD = re.compile(r"^(\d+)/(\d+) nodes are available: ?(.*)$", re.S)
_NAMED = re.compile(r"plugin\(s\) \[([^\]]+)\]")
_SCORE = re.compile(r'"Plugin scored node for pod" .*')
_FINAL = re.compile(r'"Calculated node\'s final score for pod" .*')
_REJECTORS = re.compile(r"unschedulable plugins=(.*)")
_FIELD = re.compile(r'(\w+)=(?:"([^"]*)"|(\S+))')


@dataclass(frozen=True)
class Refusal:
    """So many nodes refused for a reason; ``plugin`` is empty where the reason does not tell it."""

    count: int
    reason: str
    plugin: str = ""


@dataclass(frozen=True)
class Explanation:
    """Why a pod is on its node, or on none.

    ``sources`` says where this comes from; ``refusals`` are counts, since the scheduler does not
    say which node was refused for what; ``rejectors`` the plugins that refused, from the log.
    ``scores`` are each plugin's weighted scores by node and
    ``totals`` their sums as the scheduler told them; both are empty where it scored nothing, or
    nobody listened, which ``note`` says.
    """

    pod: str
    node: str
    sources: tuple[str, ...]
    refusals: tuple[Refusal, ...] = ()
    scores: dict[str, dict[str, int]] = field(default_factory=dict, hash=False)
    totals: dict[str, int] = field(default_factory=dict, hash=False)
    message: str = ""
    note: str = ""
    rejectors: tuple[str, ...] = ()

    @property
    def winners(self) -> tuple[str, ...]:
        """The nodes with the highest total, by name; empty without scores."""
        highest = max(self.totals.values(), default=0)
        return tuple(sorted(name for name, total in self.totals.items() if total == highest))

    @property
    def tie(self) -> bool | None:
        """Whether the winner was drawn at random among several; None without scores."""
        return len(self.winners) > 1 if self.totals else None

    @property
    def margin(self) -> int | None:
        """By how much the chosen node's total is above the next one's; None without scores."""
        if self.node not in self.totals or len(self.totals) < 2:
            return None
        others = [total for name, total in self.totals.items() if name != self.node]
        return self.totals[self.node] - max(others)

    @property
    def runner_up(self) -> str:
        """The best of the other nodes; empty without scores."""
        others = {name: total for name, total in self.totals.items() if name != self.node}
        return min(others, key=lambda name: (-others[name], name)) if others else ""

    @property
    def plugins(self) -> tuple[str, ...]:
        """The plugins that refused nodes: all that the log names, else what the reasons tell."""
        told = (one.plugin for one in self.refusals if one.plugin)
        return self.rejectors or tuple(dict.fromkeys(told))

    def __str__(self) -> str:
        lines = [f"pod {self.pod}: {'on ' + self.node if self.node else 'on no node'}"]
        lines += [
            f"  {one.count} nodes: {one.reason}" + (f" [{one.plugin}]" if one.plugin else "")
            for one in self.refusals
        ]
        if self.message and not self.refusals:
            lines.append(f"  {self.message}")
        if self.totals:
            names = sorted({name for each in self.scores.values() for name in each})
            table = [["node", *names, "total"]]
            for node, total in sorted(self.totals.items(), key=lambda one: (-one[1], one[0])):
                cells = [str(self.scores.get(node, {}).get(name, "")) for name in names]
                table.append([node, *cells, str(total)])
            widths = [max(len(line[at]) for line in table) for at in range(len(table[0]))]
            lines += [
                "  "
                + "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
                for line in table
            ]
            lines.append("  a tie: the winner was drawn at random" if self.tie else "")
        lines += [f"  {text}" for text in (self.note, f"from {', '.join(self.sources)}") if text]
        return "\n".join(line for line in lines if line)


def explain_pod(item: Mapping[str, Any], lines: Iterable[str] | None) -> Explanation:
    """What a pod's JSON, and the scheduler's log since before it was made, say of it.

    ``lines`` is None where the scheduler was not made to tell more.
    """
    metadata, spec = item["metadata"], item["spec"]
    name = f"{metadata['namespace']}/{metadata['name']}"
    node = str(spec.get("nodeName") or "")
    condition: Mapping[str, Any] = next(
        (
            one
            for one in (item.get("status") or {}).get("conditions") or ()
            if one["type"] == "PodScheduled"
        ),
        {},
    )
    message = str(condition.get("message") or "")
    sources = ["the pod's condition"] if condition else []
    refusals = refusals_of(message)
    note = ""
    scores: dict[str, dict[str, int]] = {}
    totals: dict[str, int] = {}
    if lines is not None:
        sources.append("the scheduler's log at verbosity 10")
        scores, totals = scores_of(name, lines)
        if not totals and node:
            note = "no node was scored: one alone was left, or the pod was bound before"
    elif node:
        note = "no scores: make the pod within `with kinda.explaining():`"
    if not condition:
        note = f"no scheduler has looked at it: is there one named {spec.get('schedulerName')!r}?"
    return Explanation(
        pod=name,
        node=node,
        sources=tuple(sources),
        refusals=refusals,
        scores=scores,
        totals=totals,
        message=message,
        note=note,
        rejectors=rejectors_of(name, lines or ()) if not node else (),
    )


def rejectors_of(pod: str, lines: Iterable[str]) -> tuple[str, ...]:
    """The plugins that refused a pod at its last attempt in a log, in the order of names."""
    found: tuple[str, ...] = ()
    for line in lines:
        if f'pod="{pod}"' in line and (told := _REJECTORS.search(line)):
            found = tuple(sorted(re.findall(r'"([^"]+)":', told[1])))
    return found


def refusals_of(message: str) -> tuple[Refusal, ...]:
    """The counted reasons of a FitError's text; empty where it is none.

    >>> refusals_of("0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.")[0]
    Refusal(count=1, reason='Insufficient cpu', plugin='NodeResourcesFit')
    """
    match = _HEAD.match(message)
    if match is None:
        return ()
    # what follows the full stop is about preemption
    text = re.split(r"\. (?=preemption|no new claims|\d+ Preemption)", match[3])[0].rstrip(". ")
    found = []
    for part in re.split(r", (?=\d+ )", text):
        counted = re.fullmatch(r"(\d+) (.+)", part.strip(), re.S)
        if counted:
            found.append(Refusal(int(counted[1]), counted[2], _plugin(counted[2])))
    return tuple(found)


def _plugin(reason: str) -> str:
    named = _NAMED.search(reason)
    if named:
        return named[1].split()[0].strip(",")
    for pattern, plugin in _PLUGINS:
        if re.match(pattern, reason):
            return plugin
    return ""


def scores_of(pod: str, lines: Iterable[str]) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    """Weighted scores by node and plugin, and totals by node, of the last attempt in a log."""
    scores: dict[str, dict[str, int]] = {}
    totals: dict[str, int] = {}
    for line in lines:
        score, final = _SCORE.search(line), _FINAL.search(line)
        found = score or final
        if not found:
            continue
        fields = {key: quoted or plain for key, quoted, plain in _FIELD.findall(found[0])}
        if fields.get("pod") != pod:
            continue
        node, value = fields["node"], int(fields["score"])
        if final:
            totals[node] = value
            continue
        if node in totals and fields["plugin"] in scores.get(node, {}):
            scores, totals = {}, {}  # a later attempt begins
        scores.setdefault(node, {})[fields["plugin"]] = value
    return scores, totals

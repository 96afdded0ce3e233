"""Why a pod is where it is, as schedulers tell it, and nothing that they did not say.

Of an unmodified kube-scheduler there are two sources. The pod's condition counts, for a pod that
fits nowhere, how many nodes were refused for which reason. The log of the scheduler has each
plugin's weighted score for each node from verbosity 10 on, which is set at run time by its own
``/debug/flags/v``. A plugin behind a reason is told where the text is one of the in-tree plugins'
own; else it is left empty. Our Explain plugin (``records``) and probes (``probing``) tell it of
each node.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_kinda.scheduling.records import ANNOTATION, Record, Refusal, record_of

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
_UNTOLD = "it asks for a record and has none: is Explain in its scheduler, and in the profile?"
_HEAD = re.compile(r"^(\d+)/(\d+) nodes are available: ?(.*)$", re.S)
_NAMED = re.compile(r"plugin\(s\) \[([^\]]+)\]")
_SCORE = re.compile(r'"Plugin scored node for pod" .*')
_FINAL = re.compile(r'"Calculated node\'s final score for pod" .*')
_REJECTORS = re.compile(r"unschedulable plugins=(.*)")
_FIELD = re.compile(r'(\w+)=(?:"([^"]*)"|(\S+))')


@dataclass(frozen=True)
class Explanation:
    """Why a pod is on its node, or on none.

    ``sources`` says where this comes from; ``refusals`` are counts, since an unmodified scheduler
    does not say which node was refused for what; ``refused`` says it of each node that a record of
    our plugin or a probe told of. ``rejectors`` are the plugins that refused, from the log.
    ``scores`` are each plugin's weighted scores by node and ``totals`` their sums as the scheduler
    told them; both are empty where it scored nothing, or nobody listened, which ``note`` says.
    ``left`` counts the nodes that a record has left out.
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
    refused: dict[str, Refusal] = field(default_factory=dict, hash=False)
    left: int = 0

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
        told = (one.plugin for one in (*self.refused.values(), *self.refusals) if one.plugin)
        return self.rejectors or tuple(dict.fromkeys(told))

    def __str__(self) -> str:
        lines = [f"pod {self.pod}: {'on ' + self.node if self.node else 'on no node'}"]
        if not self.refused:
            lines += [f"  {one.count} nodes: {one}" for one in self.refusals]
        if self.message and not self.refusals and not self.refused:
            lines.append(f"  {self.message}")
        lines += ["  " + line for line in self._table()]
        if self.left:
            lines.append(f"  {self.left} more nodes, left out of the record")
        if self.tie:
            lines.append("  a tie: the winner was drawn at random")
        elif self.margin is not None:
            lines.append(f"  ahead of {self.runner_up} by {self.margin}")
        lines += [f"  {text}" for text in (self.note, f"from {', '.join(self.sources)}") if text]
        return "\n".join(lines)

    def _table(self) -> list[str]:
        """Scores of nodes, the best first, then the nodes that were refused."""
        names = sorted({name for each in self.scores.values() for name in each})
        nodes = sorted(
            {*self.scores, *self.totals}, key=lambda one: (-self.totals.get(one, 0), one)
        )
        table = [["node", *names, "total"]] if nodes else []
        for node in nodes:
            cells = [str(self.scores.get(node, {}).get(name, "")) for name in names]
            table.append([node, *cells, str(self.totals.get(node, ""))])
        columns = len(names) + 2 if table else 0
        widths = [max(len(line[at]) for line in table) for at in range(columns)]
        found = [
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            for line in table
        ]
        width = max([*widths[:1], *map(len, self.refused)], default=0)
        found += [f"{node.rjust(width)}  refused: {one}" for node, one in self.refused.items()]
        return found


def explain_pod(
    item: Mapping[str, Any], lines: Iterable[str] | None, *, records: Iterable[str] = ()
) -> Explanation:
    """What a pod's JSON, and the scheduler's log since before it was made, say of it.

    ``lines`` is None where the scheduler was not made to tell more; ``records`` are those in which
    our Explain plugin may have told of it.
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
        lines = list(lines)
        sources.append("the scheduler's log at verbosity 10")
        scores, totals = scores_of(name, lines)
        if not totals and node:
            note = "no node was scored: one alone was left, or the pod was bound before"
    elif node:
        note = "no scores: make the pod within `with kinda.explaining():`"
    if not condition:
        note = f"no scheduler has looked at it: is there one named {spec.get('schedulerName')!r}?"
    told = record_of(str(metadata.get("uid", "")), records)
    if told is not None and told.node == node:
        sources.append("a record of our Explain plugin")
        scores, totals = told.scores, told.totals if not told.extenders else totals
        refusals, note = told.refusals, _note_of(told, totals)
    else:
        told = None
        if ANNOTATION in (metadata.get("annotations") or {}):
            note = "; ".join(filter(None, [note, _UNTOLD]))
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
        refused=told.refused if told else {},
        left=told.left if told else 0,
    )


def _note_of(told: Record, totals: Mapping[str, int]) -> str:
    """What a record says that is in no cell of its table."""
    found = []
    if told.node and not told.scores:
        found.append("no node was scored: one alone was left")
    if told.unseen:
        found.append(
            f"no plugin refuses {', '.join(told.unseen)}, and the scheduler has not scored them: "
            "it did not look at them, or an extender refused them"
        )
    if told.extenders and not totals:
        found.append(f"no totals: {', '.join(told.extenders)} adds to them, unseen by plugins")
    if told.error:
        found.append(f"the record is not complete: {told.error}")
    return "; ".join(found)


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
            found.append(Refusal(int(counted[1]), counted[2], plugin_of(counted[2])))
    return tuple(found)


def plugin_of(reason: str) -> str:
    """The plugin whose fixed text a reason is; empty where that cannot be told.

    >>> plugin_of("Insufficient cpu"), plugin_of("something of another plugin")
    ('NodeResourcesFit', '')
    """
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

"""A program with as much of v1model as one can hold, as p4c would write it: to compare with BMv2.

A frame is kind (8), a, b (16), c (32), d (int<16>), one (128), and then what the kind asks for.
The kind says what is done with it; every construct's result goes into the header ``result``.
"""

from __future__ import annotations

from typing import Any

from tests.support.p4_programs import (
    action,
    assign,
    call,
    field,
    given,
    hexstr,
    op,
    program,
    table,
)

KINDS = 18
COMMANDS = """
mc_mgrp_create 1
mc_node_create 7 1 2
mc_node_create 8 3
mc_node_associate 1 0
mc_node_associate 1 1
mirroring_add 1 4
mirroring_add 2 5
table_add Ingress.lpm by_lpm 0x0a000000/8 => 1
table_add Ingress.lpm by_lpm 0x0a000100/24 => 2
table_add Ingress.lpm by_lpm 0x0a000101/32 => 3
table_add Ingress.ternary by_ternary 0x0001&&&0x00ff 0x00000000&&&0x00000000 0x01 => 1 20
table_add Ingress.ternary by_ternary 0x0000&&&0x0000 0x0a000000&&&0xff000000 0x01 => 2 10
table_add Ingress.ternary by_ternary 0x0002&&&0x0003 0x00000000&&&0x00000000 0x00 => 3 10
table_add Ingress.ternary by_ternary 0x0002&&&0x0002 0x00000000&&&0x00000000 0x00 => 4 10
table_add Ingress.range by_range 0x0000->0x0063 0x00 => 1 2
table_add Ingress.range by_range 0x0032->0x00c8 0x00 => 2 1
table_add Ingress.range by_range 0x8000->0xffff 0x01 => 3 1
table_set_default Ingress.exact by_exact 9
table_add Ingress.exact by_exact 0x01 0x0001 => 1
table_add Ingress.exact by_exact 0x00 0x0000 => 2
register_write Ingress.cells 3 100
"""

START = [["kind", 8, False], ["a", 16, False], ["b", 16, False], ["c", 32, False],
         ["d", 16, True], ["one", 128, False]]  # fmt: skip
LABEL = [["value", 20, False], ["tc", 3, False], ["last", 1, False], ["ttl", 8, False]]
OPTIONS = [["length", 4, False], ["rest", 4, False], ["data", "*"]]
WIDE = [["big", 160, False], ["seven", 7, False], ["many", 65, False], ["pad", 8, False]]
RESULT = [["sum", 32, False], ["low", 16, False], ["high", 16, False], ["signed", 16, True],
          ["saturated", 16, False], ["negative", 16, True], ["flags", 8, False],
          ["error", 8, False], ["hash16", 16, False], ["hash32", 32, False], ["cell", 32, False],
          ["lpm", 8, False], ["ternary", 8, False], ["range", 8, False], ["exact", 8, False],
          ["instance", 8, False], ["length", 16, False], ["rid", 16, False], ["turned", 128, False],
          ["identity", 64, False], ["xor", 16, False], ["stacked", 24, False], ["kept", 16, False],
          ["checksum", 16, False]]  # fmt: skip
META = [["kept", 16, False], ["passes", 8, False], ["ahead", 8, False], ["test", 1, False],
        ["pad", 7, False]]  # fmt: skip


def s(name: str) -> dict[str, Any]:
    return field("start", name)


def r(name: str) -> dict[str, Any]:
    return field("result", name)


def m(name: str) -> dict[str, Any]:
    return field("meta", name)


def header(name: str) -> dict[str, Any]:
    return {"type": "header", "value": name}


def param(index: int) -> dict[str, Any]:
    return {"type": "runtime_data", "value": index}


def is_kind(kind: int) -> dict[str, Any]:
    return op("==", s("kind"), hexstr(kind))


def masked(value: Any, width: int) -> dict[str, Any]:
    return op("&", value, hexstr((1 << width) - 1))


def _types() -> list[dict[str, Any]]:
    types = {"start_t": START, "label_t": LABEL, "options_t": OPTIONS, "wide_t": WIDE,
             "result_t": RESULT, "meta_t": META}  # fmt: skip
    made = [
        {"name": name, "id": i, "fields": fields} for i, (name, fields) in enumerate(types.items())
    ]
    made[2]["max_length"] = 16
    return made


def _states() -> list[dict[str, Any]]:
    def state(name: str, ops: list[Any], key: list[Any], *ways: Any) -> dict[str, Any]:
        transitions = [
            {"type": "default", "value": None, "mask": None, "next_state": to}
            if value is None
            else {"type": "hexstr", "value": value, "mask": mask, "next_state": to}
            for value, mask, to in ways
        ]
        return {"name": name, "id": 0, "parser_ops": ops, "transition_key": key,
                "transitions": transitions}  # fmt: skip

    def extract(name: str, kind: str = "regular") -> dict[str, Any]:
        return {"op": "extract", "parameters": [{"type": kind, "value": name}]}

    def look(offset: int, width: int) -> dict[str, Any]:
        return {"type": "lookahead", "value": [offset, width]}

    length = given(op("*", m("ahead"), hexstr(8)))
    verify = {"op": "verify", "parameters": [op("!=", s("kind"), hexstr(0xFF)), hexstr(7)]}
    return [
        state("start", [extract("start"), verify], [s("kind")],
              ("0x01", "0x0f", "labels"), ("0x02", None, "options"), ("0x03", None, "wide"),
              ("0x04", None, "skip"), ("0x05", None, "peek"), ("0x06", None, "peek"),
              (None, None, None)),
        state("labels", [extract("labels", "stack")],
              [{"type": "stack_field", "value": ["labels", "last"]}],
              ("0x00", None, "labels"), ("0x01", None, None), (None, None, None)),
        state("options",
              [{"op": "set", "parameters": [m("ahead"), look(0, 4)]},
               {"op": "extract_VL", "parameters": [{"type": "regular", "value": "options"},
                                                   length]}],
              [], (None, None, None)),
        state("wide", [extract("wide")], [], (None, None, None)),
        state("skip", [{"op": "advance", "parameters": [
                  given(op("<<", op("&", s("a"), hexstr(15)), hexstr(2)))]}],
              [], (None, None, "peek")),
        state("peek", [{"op": "set", "parameters": [m("ahead"), look(4, 8)]}],
              [look(0, 16), s("b")],
              ("0x01020000", "0xffff00ff", "wide"), ("0x00000001", None, "labels"),
              (None, None, None)),
    ]  # fmt: skip


def _compute() -> dict[str, Any]:
    a, b, c, d = s("a"), s("b"), s("c"), s("d")
    tests = op("b2d", op("<", d, op("two_comp_mod", b, hexstr(16))))
    both = op("and", op(">=", a, b), op(">", c, hexstr(0x80000000)))
    shifted = op("==", op(">>", d, hexstr(3)), hexstr(-1))
    flags = op("|", op("|", tests, op("<<", op("b2d", both), hexstr(1))),
               op("<<", op("b2d", shifted), hexstr(2)))  # fmt: skip
    cells = {"type": "register_array", "value": "Ingress.cells"}
    cell = op("|", op("&", a, hexstr(7)), op("<<", op("b2d", is_kind(15)), hexstr(3)))
    calls = [
        call("add_header", header("result")),
        assign(r("sum"), masked(op("+", c, op("*", a, b)), 32)),
        assign(r("low"), masked(op("-", a, b), 16)),
        assign(r("high"), op("^", masked(op("<<", a, s("kind")), 16), masked(op("~", b), 16))),
        assign(r("signed"),
               op("two_comp_mod", op("+", d, op("two_comp_mod", a, hexstr(16))), hexstr(16))),
        assign(r("saturated"), op("usat_cast", op("-", a, b), hexstr(16))),
        assign(r("negative"),
               op("sat_cast", op("+", d, op("two_comp_mod", b, hexstr(16))), hexstr(16))),
        assign(r("flags"), masked(op("^", flags, op("<<", m("ahead"), hexstr(3))), 8)),
        assign(r("error"), masked(field("standard_metadata", "parser_error"), 8)),
        assign(r("turned"), masked(op("+", s("one"), hexstr(1)), 128)),
        call("modify_field_with_hash_based_offset", r("hash16"), hexstr(7), calculation("mixed"),
             hexstr(65000)),
        call("modify_field_with_hash_based_offset", r("hash32"), hexstr(0), calculation("plain"),
             hexstr(1 << 32)),
        call("modify_field_with_hash_based_offset", r("identity"), hexstr(0), calculation("same"),
             hexstr(1 << 63)),
        call("modify_field_with_hash_based_offset", r("xor"), hexstr(0), calculation("folded"),
             hexstr(65536)),
        call("register_read", r("cell"), cells, cell),
        # when a recirculated packet comes again is nobody's promise: it counts nothing
        assign(r("cell"), op("?", is_kind(15), hexstr(0),
                             masked(op("+", r("cell"), hexstr(1)), 32))),
        call("register_write", cells, cell, r("cell")),
        call("count", {"type": "counter_array", "value": "Ingress.kinds"},
             op("&", s("kind"), hexstr(15))),
        # the egress port by a jump: 2 where a is even
        assign(field("standard_metadata", "egress_spec"), hexstr(1)),
        call("_jump_if_zero", op("&", a, hexstr(1)), hexstr(21)),
        call("_jump", hexstr(22)),
        assign(field("standard_metadata", "egress_spec"), hexstr(2)),
    ]  # fmt: skip
    return action(0, "compute", calls)


def calculation(name: str) -> dict[str, Any]:
    return {"type": "calculation", "value": name}


def _calculations() -> list[dict[str, Any]]:
    def made(name: str, algorithm: str, *inputs: Any) -> dict[str, Any]:
        return {"name": name, "id": 0, "algo": algorithm, "input": list(inputs)}

    four = {"type": "hexstr", "value": "0x9", "bitwidth": 4}
    return [
        made("mixed", "crc16", s("a"), s("c"), field("labels[1]", "value"), four),
        made("plain", "crc32", s("kind"), s("c"), s("d")),
        made("same", "identity", s("a"), s("b"), s("c")),
        made("folded", "xor16", s("kind"), s("a"), s("c")),
        made("sum", "csum16", s("a"), s("b"), field("options", "data"), r("sum"), s("kind"),
             {"type": "payload", "value": None}),
        made("check", "csum16", s("a"), s("b")),
    ]  # fmt: skip


def _actions() -> list[dict[str, Any]]:
    labels = {"type": "header_stack", "value": "labels"}
    first = op("dereference_header_stack", labels, hexstr(0))
    # the last: what an invalid one holds is nobody's
    chosen = op("dereference_header_stack", labels, op("last_stack_index", labels))
    return [
        _compute(),
        action(1, "by_lpm", [assign(r("lpm"), param(0))], value=8),
        action(2, "by_ternary", [assign(r("ternary"), param(0))], value=8),
        action(3, "by_range", [assign(r("range"), param(0))], value=8),
        action(4, "by_exact", [assign(r("exact"), param(0))], value=8),
        action(5, "NoAction", []),
        action(6, "multicast", [assign(field("standard_metadata", "mcast_grp"), hexstr(1))]),
        action(7, "clone", [assign(m("kept"), s("a")),
                            call("clone_ingress_pkt_to_egress", hexstr(1), hexstr(1))]),
        action(8, "resubmit", [assign(m("passes"), masked(op("+", m("passes"), hexstr(1)), 8)),
                               assign(m("kept"), s("b")), call("resubmit", hexstr(1))]),
        action(9, "truncate", [call("truncate", hexstr(120))]),
        action(10, "drop", [call("mark_to_drop", header("standard_metadata"))]),
        action(11, "push", [
            call("push", labels, hexstr(1)),
            call("add_header", header("labels[0]")),
            assign(field("labels[0]", "value"), op("<<", s("a"), hexstr(4))),
            assign({"type": "expression", "value": op("access_field", first, 3)["value"] | {
                "left": first, "right": 3}}, hexstr(0x55)),
        ]),
        action(12, "pop", [call("pop", labels, hexstr(1))]),
        action(13, "stacks", [
            assign(r("stacked"), {"type": "expression", "value": {
                "op": "access_field", "left": chosen, "right": 0}}),
            assign(r("stacked"), op("+", op("<<", r("stacked"), hexstr(4)), op(
                "+", op("size_stack", labels), op("b2d", op("valid", header("labels[2]")))))),
        ]),
        action(14, "swap", [
            call("assign_header", header("labels[3]"), header("labels[0]")),
            call("remove_header", header("labels[0]")),
        ]),
        action(15, "copy", [assign(field("copied", "big"), field("wide", "big")),
                            call("assign_header", header("copied"), header("wide")),
                            assign(field("copied", "many"),
                                   masked(op("<<", field("wide", "many"),
                                             op("&", field("wide", "seven"), hexstr(15))), 65))]),
        action(16, "leave", [assign(r("kept"), hexstr(0xBEEF)), call("exit")]),
        action(17, "options", [assign(field("options", "rest"),
                                      masked(op("+", field("options", "rest"), hexstr(1)), 4))]),
        action(20, "finish", [
            assign(r("instance"), masked(field("standard_metadata", "instance_type"), 8)),
            assign(r("length"), masked(field("standard_metadata", "packet_length"), 16)),
            assign(r("rid"), field("standard_metadata", "egress_rid")),
            assign(r("kept"), op("^", r("kept"), m("kept"))),
        ]),
        action(21, "clone_again", [call("clone_egress_pkt_to_egress", hexstr(2), hexstr(1))]),
        action(22, "again", [assign(m("passes"), masked(op("+", m("passes"), hexstr(1)), 8)),
                             assign(s("a"), masked(op("+", s("a"), hexstr(0x100)), 16)),
                             call("remove_header", header("result")),
                             call("recirculate", hexstr(1))]),
        action(23, "egress_drop", [call("mark_to_drop", header("standard_metadata"))]),
    ]  # fmt: skip


class _Chain:
    """Tables and conditionals one after the other, as a control's statements."""

    def __init__(self, actions: list[dict[str, Any]]) -> None:
        self.actions = {one["name"]: one for one in actions}
        self.tables: list[dict[str, Any]] = []
        self.conditionals: list[dict[str, Any]] = []

    def apply(self, name: str, actions: list[str], after: str | None, **changes: Any) -> None:
        found = [self.actions[one] for one in actions]
        ways = {} if "next_tables" in changes else {"next_tables": dict.fromkeys(actions, after)}
        self.tables.append(table(name, found, base_default_next=after, **ways, **changes))

    def when(self, name: str, test: Any, true: str | None, false: str | None) -> None:
        self.conditionals.append(
            {"name": name, "id": 0, "expression": test, "true_next": true, "false_next": false}
        )

    def do_when(self, kind: int, act: str, after: str | None, test: Any = None) -> str:
        """``if (kind == KIND && test) act();`` answers the name of the ``if``."""
        label = f"node_{kind}_{act}"
        condition = is_kind(kind) if test is None else op("and", is_kind(kind), test)
        self.when(label, condition, f"tbl_{act}", after)
        self.apply(f"tbl_{act}", [act], after)
        return label


def _key(match: str, header_name: str, name: str) -> dict[str, Any]:
    full = f"{header_name}.{name}"
    return {"match_type": match, "name": full, "target": [header_name, name], "mask": None}


def _ingress(actions: list[dict[str, Any]]) -> dict[str, Any]:
    chain = _Chain(actions)
    valid = ["exact", "labels[0]", "$valid$"]
    few = op("<", m("passes"), hexstr(2))
    labelled = op("valid", header("labels[0]"))
    last = chain.do_when(12, "truncate", None)
    last = chain.do_when(13, "drop", last)
    last = chain.do_when(11, "resubmit", last, few)
    last = chain.do_when(10, "clone", last)
    last = chain.do_when(9, "multicast", last)
    last = chain.do_when(16, "leave", last)
    chain.when("node_opts", op("valid", header("options")), "tbl_options", last)
    chain.apply("tbl_options", ["options"], last)
    chain.when("node_wide", op("valid", header("wide")), "tbl_copy", "node_opts")
    chain.apply("tbl_copy", ["copy"], "node_opts")
    chain.when(
        "node_swap", op("==", op("&", s("b"), hexstr(4)), hexstr(4)), "tbl_swap", "node_wide"
    )
    chain.apply("tbl_swap", ["swap"], "node_wide")
    chain.when("node_pop", op("==", op("&", s("b"), hexstr(1)), hexstr(1)), "tbl_pop", "tbl_push")
    chain.apply("tbl_pop", ["pop"], "node_swap")
    chain.apply("tbl_push", ["push"], "node_swap")
    chain.apply("tbl_stacks", ["stacks"], "node_pop")
    chain.when("node_labels", labelled, "tbl_stacks", "node_wide")
    chain.apply(
        "Ingress.range",
        ["by_range", "NoAction"],
        "node_labels",
        match_type="range",
        key=[_key("range", "start", "a"), _key(*valid)],
    )
    chain.apply(
        "Ingress.ternary",
        ["by_ternary", "NoAction"],
        None,
        match_type="ternary",
        key=[_key("ternary", "start", "a"), _key("ternary", "start", "c"), _key(*valid)],
        next_tables={"by_ternary": "Ingress.range", "NoAction": "node_labels"},
    )
    chain.apply(
        "Ingress.lpm",
        ["by_lpm", "NoAction"],
        None,
        match_type="lpm",
        key=[_key("lpm", "start", "c")],
        with_counters=True,
        next_tables={"__HIT__": "Ingress.ternary", "__MISS__": "Ingress.exact"},
    )
    chain.apply(
        "Ingress.exact",
        ["by_exact", "NoAction"],
        "Ingress.ternary",
        key=[_key(*valid), _key("exact", "labels[0]", "value") | {"mask": "0x00000f"}],
    )
    chain.apply("tbl_compute", ["compute"], "Ingress.lpm")
    chain.when("node_start", op("valid", header("start")), "tbl_compute", "tbl_drop")
    return {"name": "ingress", "id": 0, "init_table": "node_start", "tables": chain.tables,
            "action_profiles": [], "conditionals": chain.conditionals}  # fmt: skip


def _egress(actions: list[dict[str, Any]]) -> dict[str, Any]:
    chain = _Chain(actions)
    normal = op("!=", field("standard_metadata", "instance_type"), hexstr(2))
    odd = op("==", op("&", s("b"), hexstr(3)), hexstr(3))
    last = chain.do_when(15, "again", None, op("<", m("passes"), hexstr(3)))
    last = chain.do_when(17, "egress_drop", last, odd)
    last = chain.do_when(14, "clone_again", last, normal)
    chain.apply("tbl_finish", ["finish"], last)
    chain.when("node_finish", op("valid", header("result")), "tbl_finish", last)
    return {"name": "egress", "id": 1, "init_table": "node_finish", "tables": chain.tables,
            "action_profiles": [], "conditionals": chain.conditionals}  # fmt: skip


def features() -> dict[str, Any]:
    """The program's JSON."""
    actions = _actions()
    base = program({}, [], [])
    wire = ["result", "start", *(f"labels[{i}]" for i in range(4)), "options", "wide", "copied"]
    kinds = {
        "result": "result_t",
        "start": "start_t",
        "options": "options_t",
        "wide": "wide_t",
        "copied": "wide_t",
        "meta": "meta_t",
    } | {f"labels[{i}]": "label_t" for i in range(4)}
    headers = [
        {"name": name, "id": i, "header_type": kind, "metadata": name == "meta"}
        for i, (name, kind) in enumerate(kinds.items())
    ]
    ids = [one["id"] for one in headers if one["name"].startswith("labels")]
    chosen = op("and", op("valid", header("result")), op("!=", s("kind"), hexstr(3)))
    return base | {
        "header_types": _counted(_types() + base["header_types"]),
        "headers": _counted(headers + base["headers"]),
        "header_stacks": [
            {"name": "labels", "id": 0, "header_type": "label_t", "size": 4, "header_ids": ids}
        ],
        "field_lists": [{"id": 1, "name": "kept", "elements": [m("kept"), m("passes")]}],
        "errors": [*base["errors"], ["ParserTimeout", 5], ["ParserInvalidArgument", 6],
                   ["OddKind", 7]],
        "parsers": [{"name": "parser", "id": 0, "init_state": "start",
                     "parse_states": [one | {"id": i} for i, one in enumerate(_states())]}],
        "deparsers": [{"name": "deparser", "id": 0, "order": wire}],
        "counter_arrays": [
            {"name": "Ingress.kinds", "id": 0, "size": 16, "is_direct": False},
            {"name": "Ingress.lpm_hits", "id": 1, "is_direct": True, "binding": "Ingress.lpm"},
        ],
        "register_arrays": [{"name": "Ingress.cells", "id": 0, "size": 16, "bitwidth": 32}],
        "calculations": [one | {"id": i} for i, one in enumerate(_calculations())],
        "checksums": [
            {"name": "updated", "id": 0, "type": "generic", "target": ["result", "checksum"],
             "calculation": "sum", "verify": False, "update": True, "if_cond": chosen},
            {"name": "verified", "id": 1, "type": "generic", "target": ["start", "b"],
             "calculation": "check", "verify": True, "update": False, "if_cond": None},
        ],
        "actions": actions,
        "pipelines": [_numbered(_ingress(actions), 0), _numbered(_egress(actions), 100)],
    }  # fmt: skip


def _counted(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one | {"id": i} for i, one in enumerate(items)]


def _numbered(pipeline: dict[str, Any], start: int) -> dict[str, Any]:
    """Tables and conditionals with the ids that BMv2 asks for."""
    for kind in ("tables", "conditionals"):
        pipeline[kind] = [one | {"id": start + i} for i, one in enumerate(pipeline[kind])]
    return pipeline

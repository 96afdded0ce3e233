"""A program as one C file: what is generated, between the files of ``runtime/``."""

from __future__ import annotations

from importlib import resources

from pytest_kinda.p4.actions import DROP_PORT, Primitives
from pytest_kinda.p4.arithmetic import Arithmetic
from pytest_kinda.p4.controls import Controls
from pytest_kinda.p4.layout import Layout, is_bytes
from pytest_kinda.p4.parsers import Deparsing, Parsing
from pytest_kinda.p4.program import FieldRef, Program
from pytest_kinda.p4.stores import Stores

VERSION = 3
"""Rises when the control protocol changes."""


def translate(program: Program) -> str:
    """The C source of a program, complete: one translation unit without other files.

    Raises:
        NotCoveredError: The program uses what the native engine does not cover.
    """
    layout = Layout(program)
    registers = {one.name: i for i, one in enumerate(program.registers)}
    arithmetic = Arithmetic(layout, registers, program.registers)
    primitives = Primitives(program, layout, arithmetic)
    parsing, deparsing = Parsing(program, primitives), Deparsing(program, primitives)
    controls, stores = Controls(program, primitives), Stores(program, primitives)
    parts = [
        _file("packet.h"),
        f'#define PROGRAM_HASH "{program.digest}"\n'
        f"#define DROP_PORT {DROP_PORT}\n"
        f"#define HEADROOM {deparsing.headroom()}",
        parsing.errors(),
        layout.declarations(),
        _file("hashes.h"),
        _file("objects.h"),
        stores.declarations(),
        controls.declarations(),
        _file("tables.h"),
        controls.entries().replace("static void", _ENTRY_DECLARE + "static void", 1),
        deparsing.calculations(),
        *(primitives.function(action) for action in program.actions),
        parsing.function(),
        controls.function("ingress", program.ingress),
        controls.function("egress", program.egress),
        deparsing.function(),
        _Metadata(program, layout, arithmetic).functions(),
        stores.digest_function(),
        _file("groups.h"),
        _file("queues.h"),
        _file("pipeline.h"),
        _file("words.h"),
        _file("control.h"),
        _file("control_objects.h"),
        _file("controller.h"),
        _file("state.h"),
        _file("commands.h"),
        _file("client.h"),
        _file("main.h"),
    ]
    return "\n\n".join(parts) + "\n"


_ENTRY_DECLARE = """static NOTHING void entry_declare(unsigned table, int32_t priority,
                                  const uint8_t *key, const uint8_t *mask, uint16_t action,
                                  const u128 *arguments)
{
    struct table *t = &tables[table];
    struct entry *e = entry_made(t, actions[action].parameters);
    memcpy(e->key, key, t->key_bytes);
    memcpy(e->mask, mask, t->key_bytes);
    memcpy(e->arguments, arguments, actions[action].parameters * sizeof *arguments);
    e->priority = priority;
    e->action = action;
    const char *bad = table_add(t, e);
    if (bad) {
        fprintf(stderr, "table %s: a declared entry is %s\\n", t->name, bad);
        exit(1);
    }
}

"""


_RUNTIME = resources.files("pytest_kinda.p4").joinpath("runtime")


def _file(name: str) -> str:
    return _RUNTIME.joinpath(name).read_text("utf-8").strip()


class _Metadata:
    """What the target puts into metadata and takes from it."""

    def __init__(self, program: Program, layout: Layout, arithmetic: Arithmetic) -> None:
        self.program = program
        self.layout = layout
        self.arithmetic = arithmetic
        self._aliases = dict(program.aliases)

    def _reference(self, name: str) -> FieldRef | None:
        header, field = name.split(".")
        reference = self._aliases.get(name, FieldRef(header, field))
        return reference if self.program.field(reference) is not None else None

    def _set(self, name: str, code: str) -> str:
        reference = self._reference(name)
        if reference is None:
            return ""
        place, field = self.layout.place(reference)
        return f"    {place} = (__typeof__({place}))((u128)({code}) & mask_of({field.width}));\n"

    def _get(self, name: str) -> str:
        reference = self._reference(name)
        return "0" if reference is None else self.layout.place(reference)[0]

    def functions(self) -> str:
        """The functions that runtime/pipeline.h calls."""
        signature = "static NOTHING void metadata_"
        start = "{\n    struct phv *P = p->phv;\n    (void)P;\n"
        queueing = all(
            self._reference(f"queueing_metadata.{name}") is not None
            for name in ("enq_timestamp", "enq_qdepth", "deq_timedelta", "deq_qdepth")
        )
        enqueued = dequeued = ""
        if queueing:
            enqueued = self._set("queueing_metadata.enq_timestamp", "now")
            enqueued += self._set("queueing_metadata.enq_qdepth", "depth")
            enqueued_at = self._get("queueing_metadata.enq_timestamp")
            dequeued = self._set("queueing_metadata.deq_timedelta", f"now - {enqueued_at}")
            dequeued += self._set("queueing_metadata.deq_qdepth", "p->behind")
            dequeued += self._set("queueing_metadata.qid", "p->priority")
        cleared = "".join(
            f"    memset(&{self.layout.header(one.name)}, 0, "
            f"sizeof {self.layout.header(one.name)});\n"
            for one in self.program.headers
            if one.metadata
        )
        parts = [
            f"{signature}arrived(struct packet *p, uint32_t port, uint32_t length, uint64_t now)\n"
            f"{start}    (void)port, (void)length, (void)now;\n"
            + self._set("standard_metadata.ingress_port", "port")
            + self._set("standard_metadata.packet_length", "length")
            + self._set("standard_metadata.instance_type", "0")
            + self._set("intrinsic_metadata.ingress_global_timestamp", "now")
            + "}",
            f"{signature}parsed(struct packet *p)\n{start}"
            + self._set("standard_metadata.parser_error", "p->error")
            + self._set("standard_metadata.checksum_error", "p->checksum_error")
            + "}",
            f"{signature}clear(struct packet *p)\n{start}{cleared}}}",
            f"{signature}instance(struct packet *p, uint32_t type)\n{start}    (void)type;\n"
            + self._set("standard_metadata.instance_type", "type")
            + "}",
            f"{signature}length(struct packet *p, uint32_t length)\n{start}    (void)length;\n"
            + self._set("standard_metadata.packet_length", "length")
            + "}",
            f"{signature}replica(struct packet *p, uint32_t replica)\n{start}    (void)replica;\n"
            + self._set("intrinsic_metadata.egress_rid", "replica")
            + "}",
            f"{signature}enqueued(struct packet *p, uint64_t now, uint32_t depth)\n{start}"
            "    (void)now, (void)depth;\n" + enqueued + "}",
            f"{signature}egress(struct packet *p, uint32_t port, uint64_t now)\n{start}"
            "    (void)port, (void)now;\n"
            + self._set("intrinsic_metadata.egress_global_timestamp", "now")
            + dequeued
            + self._set("standard_metadata.egress_port", "port")
            + self._set("standard_metadata.egress_spec", "DROP_PORT + 1")
            + self._set("standard_metadata.packet_length", "p->length")
            + "}",
            *(
                f"static NOTHING uint32_t metadata_{name}(struct packet *p)\n{start}"
                f"    return (uint32_t){self._get(source)};\n}}"
                for name, source in (
                    ("group", "intrinsic_metadata.mcast_grp"),
                    ("egress_spec", "standard_metadata.egress_spec"),
                    ("priority", "intrinsic_metadata.priority"),
                )
            ),
            self._lists(),
        ]
        return "\n\n".join(parts)

    def _lists(self) -> str:
        cases = []
        for number, fields in self.program.lists:
            lines = [f"    case {number}:"]
            for reference in fields:
                place, field = self.layout.place(reference)
                source = "Q" + place[1:]
                if field.variable:
                    lines.append(f"        {place}_bits = {source}_bits;")
                if is_bytes(field):
                    lines.append(f"        memcpy({place}, {source}, sizeof {place});")
                else:
                    lines.append(f"        {place} = {source};")
            cases.append("\n".join([*lines, "        break;"]))
        body = "\n".join(cases)
        return f"""/* The fields that a copy of a packet keeps. */
static NOTHING void list_copy(struct packet *to, const struct packet *from, uint32_t list)
{{
    struct phv *P = to->phv;
    const struct phv *Q = from->phv;
    (void)P, (void)Q;
    switch (list) {{
{body}
    default:
        break;
    }}
}}"""

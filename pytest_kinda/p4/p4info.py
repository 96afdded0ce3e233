"""The headers of packets to and from the controller, as a program's p4info declares them.

p4info is a message of P4Runtime's (``p4.config.v1.P4Info``) in protobuf's text format, of which
this reads the part that is needed here; see the P4Runtime specification, section 6.4.6, and
protobuf's "Text Format Language Specification".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pytest_kinda.errors import ProgramError

Message: TypeAlias = dict[str, list["str | Message"]]

_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|(?P<word>[\w.+-]+)|(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
    r"|(?P<mark>[{}<>:;,\[\]/])"
)


@dataclass(frozen=True)
class ControllerField:
    """A field of such a header; one that ``fills`` only pads (``@padding``)."""

    name: str
    width: int
    fills: bool = False


@dataclass(frozen=True)
class ControllerHeader:
    """A header that is before a packet on its way to (``packet_in``) or from the controller."""

    name: str
    fields: tuple[ControllerField, ...]

    @property
    def width(self) -> int:
        """Its bits."""
        return sum(one.width for one in self.fields)


def controller_headers(text: str, name: str = "p4info") -> Mapping[str, ControllerHeader]:
    """The headers by name: ``packet_in``, ``packet_out``, as far as the program has them.

    Raises:
        ProgramError: The text is no p4info, or a header is not of whole bytes.

    Example:
        >>> controller_headers('controller_packet_metadata { preamble { name: "packet_in" } '
        ...     'metadata { name: "port" bitwidth: 16 } }')["packet_in"].width
        16
    """
    found = {}
    for one in _messages(parse_text(text, name), "controller_packet_metadata"):
        preamble = next(_messages(one, "preamble"), {})
        header = ControllerHeader(
            _first(preamble, "name"),
            tuple(
                ControllerField(
                    _first(each, "name"),
                    int(_first(each, "bitwidth") or 0),
                    "@padding" in each.get("annotations", ()),
                )
                for each in _messages(one, "metadata")
            ),
        )
        if header.width % 8:
            raise ProgramError(
                f"{name}: the header {header.name} has {header.width} bits; expected whole bytes",
                remedy="add a field with @padding to it in the P4 source",
            )
        found[header.name] = header
    return found


def parse_text(text: str, name: str = "p4info") -> Message:
    """A message in protobuf's text format: each field's values in their order. Raises ProgramError.

    >>> parse_text('tables { size: 4 } tables { size: 5 }')
    {'tables': [{'size': ['4']}, {'size': ['5']}]}
    """
    return _message(_tokens(text, name), name, top=True)


def _messages(of: Message, field: str) -> Iterator[Message]:
    return (one for one in of.get(field, ()) if isinstance(one, dict))


def _first(of: Message, field: str) -> str:
    found = of.get(field, [""])[0]
    return found if isinstance(found, str) else ""


def _tokens(text: str, name: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            line = text.count("\n", 0, at) + 1
            raise _bad(name, f"line {line}: found {text[at : at + 20]!r}")
        at = match.end()
        if match.lastgroup is not None:
            yield match.lastgroup, match[match.lastgroup]


def _message(tokens: Iterator[tuple[str, str]], name: str, *, top: bool = False) -> Message:
    found: Message = {}
    field = ""
    for kind, token in tokens:
        if token in ("}", ">") and not top and not field:
            return found
        if token in (";", ",") and not field:
            continue
        if not field:
            if kind != "word":
                raise _bad(name, f"found {token!r} where a field's name is")
            field = token
        elif token in ("{", "<"):
            found.setdefault(field, []).append(_message(tokens, name))
            field = ""
        elif token != ":":
            if kind == "mark":
                raise _bad(name, f"found {token!r} where the value of {field} is")
            value = token[1:-1].replace('\\"', '"') if kind == "text" else token
            found.setdefault(field, []).append(value)
            field = ""
    if not top or field:
        raise _bad(name, "it ends within a message")
    return found


def _bad(name: str, what: str) -> ProgramError:
    return ProgramError(
        f"{name}: {what}; expected a p4info in protobuf's text format",
        remedy="p4c writes one with --p4runtime-files FILE.p4info.txt",
    )

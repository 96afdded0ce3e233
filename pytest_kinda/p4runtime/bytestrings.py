"""Numbers as P4Runtime writes them: big-endian, as short as can be (specification, 8.4)."""

from __future__ import annotations

from pytest_kinda.p4runtime.refusal import Code, Refusal, invalid


def encode(value: int) -> bytes:
    r"""The canonical bytestring of a number that is not negative.

    >>> encode(0), encode(256)
    (b'\x00', b'\x01\x00')
    """
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")


def decode(data: bytes, width: int, what: str) -> int:
    r"""The number of a bytestring, canonical or with zeros before it, for ``width`` bits.

    Raises Refusal: INVALID_ARGUMENT for an empty one, OUT_OF_RANGE for one that is too wide.

    >>> decode(b"\x00\x07", 9, "port")
    7
    """
    if not data:
        raise invalid(f"{what}: found an empty bytestring; expected a number of {width} bits")
    found = int.from_bytes(data, "big")
    if found >> width:
        raise Refusal(
            Code.OUT_OF_RANGE, f"{what}: found {found:#x}; expected a number of {width} bits"
        )
    return found

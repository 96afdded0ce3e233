"""Why a request of a controller is not carried out: a status code and words."""

from __future__ import annotations

from enum import IntEnum

from pytest_kinda.errors import KindaError


class Code(IntEnum):
    """The status codes of gRPC that P4Runtime uses (``google.rpc.Code``)."""

    OK = 0
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


class Refusal(KindaError):
    """A request, or one of its updates, that is refused with ``code``."""

    def __init__(self, code: Code, message: str) -> None:
        self.code = code
        super().__init__(message)


def invalid(message: str) -> Refusal:
    """What the controller asks for cannot be meant."""
    return Refusal(Code.INVALID_ARGUMENT, message)


def missing(message: str) -> Refusal:
    """What the controller names is not there."""
    return Refusal(Code.NOT_FOUND, message)


def unimplemented(message: str) -> Refusal:
    """What P4Runtime has and this server has not."""
    return Refusal(Code.UNIMPLEMENTED, message)

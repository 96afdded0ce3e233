"""The gRPC service: requests to devices, refusals to statuses, a controller's stream."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, NoReturn

import grpc
from finsy.proto import p4r, p4r_grpc, rpc_status

from pytest_kinda.errors import P4ControlError
from pytest_kinda.p4runtime.device import Device
from pytest_kinda.p4runtime.refusal import Code, Refusal, missing

VERSION = "1.4.0"
"""Of the P4Runtime specification."""

AT_ONCE = 128
"""Requests and streams that are served at once."""

WAITING_MOST = 4096
"""Messages that wait for a controller; packets and digests beyond that are dropped."""

PER_RESPONSE = 256
"""Entities in one message of an answer to Read."""

_STATUS = {one.value[0]: one for one in grpc.StatusCode}


class ControllerStream:
    """What goes to one controller, in that order, until the end."""

    def __init__(self) -> None:
        self._messages: SimpleQueue[Any] = SimpleQueue()
        self._refusal: Refusal | None = None
        self.device: Device | None = None
        self.over = False

    def send(self, message: Any, *, urgent: bool = True) -> None:
        """See ``device.Stream``."""
        if urgent or self._messages.qsize() < WAITING_MOST:
            self._messages.put(message)

    def end(self, refusal: Refusal | None = None) -> None:
        """Nothing comes after what was sent; a ``refusal`` is the stream's status."""
        self._refusal = self._refusal or refusal
        self._messages.put(None)

    def messages(self) -> Iterator[Any]:
        """What was sent, as it comes. Raises Refusal at the end, where one was given."""
        while (message := self._messages.get()) is not None:
            yield message
        if self._refusal is not None:
            raise self._refusal


class Service:
    """P4Runtime for devices by their ids; the methods are those of ``p4.v1.P4Runtime``."""

    def __init__(self, devices: Mapping[int, Device]) -> None:
        self._devices = devices

    def Capabilities(self, request: Any, context: Any) -> Any:
        """The version that is spoken."""
        return p4r.CapabilitiesResponse(p4runtime_api_version=VERSION)

    def Write(self, request: Any, context: Any) -> Any:
        """A batch of updates; UNKNOWN with the status of each where one of them failed."""
        with _Answering(context):
            errors = self._device(request.device_id).write(request)
            _abort_if_any(context, errors, "updates")
        return p4r.WriteResponse()

    def Read(self, request: Any, context: Any) -> Iterator[Any]:
        """The entities that are asked for."""
        with _Answering(context):
            found, errors = self._device(request.device_id).read(request.entities)
        for at in range(0, len(found), PER_RESPONSE):
            yield p4r.ReadResponse(entities=found[at : at + PER_RESPONSE])
        _abort_if_any(context, errors, "requests")

    def SetForwardingPipelineConfig(self, request: Any, context: Any) -> Any:
        """See ``Device.set_pipeline``."""
        with _Answering(context):
            self._device(request.device_id).set_pipeline(request)
        return p4r.SetForwardingPipelineConfigResponse()

    def GetForwardingPipelineConfig(self, request: Any, context: Any) -> Any:
        """The pipeline config, or the parts of it that are asked for."""
        with _Answering(context):
            found = self._device(request.device_id).get_pipeline()
        kinds = p4r.GetForwardingPipelineConfigRequest
        response = p4r.GetForwardingPipelineConfigResponse()
        config = response.config
        config.SetInParent()
        if found.HasField("cookie"):
            config.cookie.CopyFrom(found.cookie)
        if request.response_type in (kinds.ALL, kinds.P4INFO_AND_COOKIE):
            config.p4info.CopyFrom(found.p4info)
        if request.response_type in (kinds.ALL, kinds.DEVICE_CONFIG_AND_COOKIE):
            config.p4_device_config = found.p4_device_config
        return response

    def StreamChannel(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        """A controller, for as long as its stream is open."""
        stream = ControllerStream()
        if not context.add_callback(stream.end):
            return  # it has gone already
        threading.Thread(target=self._hear, args=(stream, requests), daemon=True).start()
        try:
            with _Answering(context):
                yield from stream.messages()
        finally:
            stream.over = True
            if stream.device is not None:
                stream.device.leave(stream)

    def _hear(self, stream: ControllerStream, requests: Iterator[Any]) -> None:
        """Take what a controller sends, until its stream ends."""
        try:
            for one in requests:
                if one.WhichOneof("update") == "arbitration":
                    if stream.device is None:
                        stream.device = self._device(one.arbitration.device_id)
                    stream.device.arbitrate(stream, one.arbitration)
                    if stream.over:  # it has ended meanwhile
                        stream.device.leave(stream)
                elif stream.device is None:
                    raise Refusal(
                        Code.FAILED_PRECONDITION, "a stream begins with MasterArbitrationUpdate"
                    )
                else:
                    stream.device.hear(stream, one)
        except Refusal as refusal:
            stream.end(refusal)
        except P4ControlError as error:
            stream.end(Refusal(Code.UNAVAILABLE, str(error)))
        except grpc.RpcError:
            stream.end()  # it was broken off
        else:
            stream.end()

    def _device(self, number: int) -> Device:
        if number not in self._devices:
            known = ", ".join(f"{one} ({each.switch.name})" for one, each in self._devices.items())
            raise missing(f"there is no device {number}; there are {known}")
        return self._devices[number]


class _Answering:
    """What is raised within becomes the status of a call."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Refusal):
            _abort(self._context, error.code, error.message)
        if isinstance(error, P4ControlError):
            _abort(self._context, Code.UNAVAILABLE, str(error))


def _abort(context: Any, code: Code, message: str) -> NoReturn:
    context.abort(_STATUS[int(code)], message)
    raise AssertionError("abort raises")


def _abort_if_any(context: Any, errors: Sequence[Refusal | None], what: str) -> None:
    """End a call with the status of each part, where one of them failed."""
    failed = [one for one in errors if one is not None]
    if not failed:
        return
    message = f"{len(failed)} of {len(errors)} {what} failed: {failed[0].message}"
    status = rpc_status.Status(code=int(Code.UNKNOWN), message=message)
    for one in errors:
        error = p4r.Error(canonical_code=0)
        if one is not None:
            error.canonical_code, error.message = int(one.code), one.message
        status.details.add().Pack(error)
    details = status.SerializeToString()
    context.set_trailing_metadata((("grpc-status-details-bin", details),))
    _abort(context, Code.UNKNOWN, message)


def listen(devices: Mapping[int, Device], port: int = 0) -> tuple[Any, int]:
    """A server on a TCP port of 127.0.0.1 (0: any), which runs; with the port that it has.

    Raises OSError for a port that is taken.
    """
    server = grpc.server(
        ThreadPoolExecutor(AT_ONCE, "p4runtime"),
        # else two servers could have one port
        options=(("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 64 << 20)),
    )
    p4r_grpc.add_P4RuntimeServicer_to_server(Service(devices), server)
    try:
        found = server.add_insecure_port(f"127.0.0.1:{port}")
    except RuntimeError as error:
        raise OSError(f"port {port} of 127.0.0.1: {error}") from error
    server.start()
    return server, int(found)

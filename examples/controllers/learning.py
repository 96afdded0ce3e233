"""A controller for os-ken: it learns where hosts are and tells the switches.

``python learning.py --ofp-tcp-listen-port 6653``; see docs/controllers.md.
"""

from __future__ import annotations

import sys
from typing import Any, ClassVar

from os_ken import cfg
from os_ken.base.app_manager import AppManager, OSKenApp
from os_ken.controller import controller as _options  # noqa: F401
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib.packet import ethernet, packet
from os_ken.ofproto import ofproto_v1_3


class Learning(OSKenApp):
    """Frames of known ways stay in the switch, others are asked for and flooded."""

    OFP_VERSIONS: ClassVar = [ofproto_v1_3.OFP_VERSION]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.seen: dict[tuple[int, str], int] = {}

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def begin(self, event: Any) -> None:
        """Have what fits no flow sent to this controller."""
        switch = event.msg.datapath
        self._forward(switch, 0, switch.ofproto.OFPP_CONTROLLER)

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def learn(self, event: Any) -> None:
        """Note by which port the sender is reached; send the frame on, and those like it."""
        message = event.msg
        switch, arrived = message.datapath, message.match["in_port"]
        frame = packet.Packet(message.data).get_protocol(ethernet.ethernet)
        self.seen[switch.id, frame.src] = arrived
        leave = self.seen.get((switch.id, frame.dst), switch.ofproto.OFPP_FLOOD)
        if leave != switch.ofproto.OFPP_FLOOD:
            self._forward(switch, 1, leave, eth_src=frame.src, eth_dst=frame.dst)
        out = switch.ofproto_parser.OFPPacketOut(
            datapath=switch,
            buffer_id=switch.ofproto.OFP_NO_BUFFER,
            in_port=arrived,
            actions=[switch.ofproto_parser.OFPActionOutput(leave)],
            data=message.data,
        )
        switch.send_msg(out)

    def _forward(self, switch: Any, priority: int, port: int, **fields: Any) -> None:
        parser, constants = switch.ofproto_parser, switch.ofproto
        actions = [parser.OFPActionOutput(port, constants.OFPCML_NO_BUFFER)]
        apply = parser.OFPInstructionActions(constants.OFPIT_APPLY_ACTIONS, actions)
        match = parser.OFPMatch(**fields)
        switch.send_msg(
            parser.OFPFlowMod(datapath=switch, priority=priority, match=match, instructions=[apply])
        )


if __name__ == "__main__":
    cfg.CONF(sys.argv[1:], project="learning")
    AppManager.run_apps([__file__])

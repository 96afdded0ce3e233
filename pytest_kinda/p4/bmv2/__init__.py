"""BMv2's ``simple_switch`` as an engine: told over its Thrift services what native is told.

``Bmv2Channel`` takes the command lines of ``Control`` and says the same to BMv2, so that all that
is written for one engine is true of the other.
"""

from pytest_kinda.p4.bmv2.channel import Bmv2Channel, told_again
from pytest_kinda.p4.bmv2.client import Client, Stream

__all__ = ["Bmv2Channel", "Client", "Stream", "told_again"]

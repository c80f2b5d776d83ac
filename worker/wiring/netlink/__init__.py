"""The wiring in the Linux kernel, over netlink. The only importer of pyroute2.

`wiring` is the driver, `segments` and `wires` say how each is found and made, `kernel` is
the way to the network stack.
"""

from worker.wiring.netlink.wiring import NetlinkWiring

__all__ = ["NetlinkWiring"]

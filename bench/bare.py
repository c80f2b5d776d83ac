"""The yardstick of the SBC: a bare Kamailio with topoh, and rtpengine. No tables, limits, records, guards or stores.

The same Debian packages, images, workers and allocator as the SBC, between the same two sides; all calls go to one
address.
"""

from __future__ import annotations

from tests.system.sbc.box import INSIDE, OUTSIDE, SIDES, Box

_CONFIGURATION = """
debug=1
log_stderror=yes
children={workers}
tcp_children=1
auto_aliases=no
{listens}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/aarch64-linux-gnu/kamailio/modules/"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "ctl.so"
loadmodule "jsonrpcs.so"
loadmodule "topoh.so"
loadmodule "rtpengine.so"
modparam("jsonrpcs", "transport", 4)
modparam("jsonrpcs", "dgram_socket", "{run}/kamailio.rpc")
modparam("ctl", "binrpc", "unix:{run}/kamailio.ctl")
modparam("topoh", "mask_key", "a yardstick's key")
modparam("topoh", "mask_ip", "192.0.2.250")
modparam("topoh", "mask_callid", 1)
modparam("rtpengine", "rtpengine_sock", "udp:127.0.0.1:2223")

request_route {{
    if (!mf_process_maxfwd_header("70")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (has_totag()) {{
        if (!loose_route()) {{ if (is_method("ACK") && t_check_trans()) t_relay(); exit; }}
        if (is_method("BYE")) rtpengine_delete();
        t_relay();
        exit;
    }}
    if (!is_method("INVITE")) {{ sl_send_reply("405", "Method Not Allowed"); exit; }}
    record_route();
    $du = "sip:{callee}:5060";
    $fs = "udp:{outside}:5060";
    if (!rtpengine_offer("replace-origin replace-session-connection direction=inside direction=outside")) {{
        sl_send_reply("503", "Service Unavailable");
        exit;
    }}
    t_on_reply("ANSWER");
    t_relay();
}}

onreply_route[ANSWER] {{
    if (has_body("application/sdp")) rtpengine_answer("direction=outside direction=inside");
}}
"""


class Bare(Box):
    """The same sides and containers; Redis is left out, and Kamailio does the least."""

    def write_files(self) -> None:
        super().write_files()
        etc = self.dir / "etc"
        listens = "\n".join(f"listen=udp:{net}.1:5060" for _, net, _ in SIDES.values())
        (etc / "kamailio.cfg").write_text(
            _CONFIGURATION.format(
                workers=self.engine.workers,
                listens=listens,
                run="/run/naas",
                callee=f"{OUTSIDE}.2",
                inside=f"{INSIDE}.1",
                outside=f"{OUTSIDE}.1",
            )
        )
        media = etc / "rtpengine.conf"
        media.write_text("".join(line for line in media.read_text().splitlines(True) if not line.startswith("redis")))

    def start_redis(self) -> None:
        """It needs none."""

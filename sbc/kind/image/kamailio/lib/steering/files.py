"""Takes changed files into a running SBC, without the end of any call.

What Kamailio reads at its start alone (kamailio.cfg) is no business of this program: its digest is in the
command of the container, so that a change there is a new container. Everything else is applied
here, and it is verified that it was: an exit status or an OK is not believed.
"""

import socket
import ssl
from collections.abc import Mapping
from typing import Any

from . import certificates, engine

#: The limits of the module guard, as its procedure takes them.
GUARD = ("rate", "burst", "trusted_rate", "ban", "failures", "within")

Settings = Mapping[str, Any]


def load() -> int:
    """Apply the files. Prints why not when one was refused; what ran before runs still."""
    try:
        wanted = engine.settings()
        check_certificate(wanted)
        apply_settings(wanted)
        apply_certificate(wanted)
    except (OSError, engine.Refused) as error:
        print(error)
        return 1
    return 0


def check_certificate(wanted: Settings) -> None:
    """Refuse a key that is not the certificate's before the daemon sees it: its own words are in its log only."""
    if not wanted["tls"]:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(f"{engine.FILES}/tls.crt", f"{engine.FILES}/tls.key")
    except ssl.SSLError as error:
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        reason = "the key is not the certificate's" if mismatch else f"certificate or key: {error.reason}"
        raise engine.Refused(reason) from None


def apply_settings(wanted: Settings) -> None:
    for name, value in wanted["limits"].items():
        engine.rpc("pv.shvSet", name, "int" if isinstance(value, int) else "str", value)
    engine.rpc("guard.limits", *(wanted["guard"][name] for name in GUARD))
    for option, seconds in wanted["media"].items():
        engine.media_console(f"set {option} {seconds}")
        said = engine.media_console(f"list {option}")
        if said.partition("=")[2] != str(seconds):
            raise engine.Refused(f"rtpengine keeps its {option}: {said}")


def apply_certificate(wanted: Settings) -> None:
    if not wanted["tls"]:
        return
    said = engine.rpc("tls.reload")
    wanted_one = certificates.leaf(f"{engine.FILES}/tls.crt")
    for address in wanted["tls_addresses"]:
        if served(address) != wanted_one:
            raise engine.Refused(f"the certificate at {address} is still the old one ({said})")


def served(address: str) -> bytes | None:
    """The certificate that Kamailio shows at one of its addresses, in DER."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # it is compared, not trusted
    plain = socket.create_connection((address, 5061), timeout=engine.PATIENCE)
    with plain, context.wrap_socket(plain) as channel:
        return channel.getpeercert(binary_form=True)

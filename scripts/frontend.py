"""The portal's front-end libraries: fetched by npm as the lock file says, and copied to `static/vendor`.

A named list of files is copied and nothing else. Icons become one sprite, of those that are named here: a page shows
one by `{% icon "router" %}`.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from scripts import commands
from scripts.place import Place

#: Files of node_modules by what they are called in static/vendor.
FILES = {
    "alpine.js": "@alpinejs/csp/dist/cdn.min.js",
    "cose-base.js": "cose-base/cose-base.js",
    "cytoscape.js": "cytoscape/dist/cytoscape.min.js",
    "fcose.js": "cytoscape-fcose/cytoscape-fcose.js",
    "htmx.js": "htmx.org/dist/htmx.min.js",
    "layout-base.js": "layout-base/layout-base.js",
    "tabler.css": "@tabler/core/dist/css/tabler.min.css",
    "tabler.js": "@tabler/core/dist/js/tabler.min.js",
    "uplot.css": "uplot/dist/uPlot.min.css",
    "uplot.js": "uplot/dist/uPlot.iife.min.js",
}
#: What accessibility is tested with. Never served.
AXE = "axe-core/axe.min.js"
ICONS = (
    "activity", "adjustments", "alert-circle", "alert-triangle", "arrow-back-up", "arrow-right", "arrows-exchange",
    "ban", "bell", "building", "calendar", "certificate", "chart-line", "check", "chevron-down", "chevron-left",
    "chevron-right", "chevron-up", "circle-check", "circle-dashed", "clock", "cloud", "code", "command", "copy",
    "credit-card", "dots", "dots-vertical", "download", "edit", "external-link", "eye", "file-text", "filter", "heart",
    "help", "history", "home", "info-circle", "key", "layout-grid", "list", "loader-2", "lock", "login", "logout",
    "mail", "map-pin", "menu-2", "minus", "moon", "network", "phone", "phone-call", "phone-off", "plug", "plus",
    "refresh", "route", "router", "search", "server", "settings", "shield", "shield-lock", "shopping-cart", "sitemap",
    "sun", "switch-horizontal", "terminal-2", "topology-star-3", "trash", "user", "user-plus", "users", "world", "x",
)  # fmt: skip

SVG = "http://www.w3.org/2000/svg"
SOURCE_MAP = re.compile(r"(//|/\*)# sourceMappingURL=\S+( \*/)?")


def install(place: Place) -> str:
    """Have the libraries in `static/vendor`. Says what was done."""
    vendor, wanted = note(place).parent, _release(place.repo)
    if note(place).exists() and note(place).read_text() == wanted:
        return "up to date"
    commands.run("npm", "ci", "--no-progress", cwd=place.repo)
    modules = place.repo / "node_modules"
    shutil.rmtree(vendor, ignore_errors=True)
    vendor.mkdir(parents=True)
    for name, source in FILES.items():
        (vendor / name).write_text(_without_map((modules / source).read_text()))
    (vendor / "icons.svg").write_text(sprite(modules / "@tabler/icons/icons/outline"))
    note(place).write_text(wanted)
    return f"{len(FILES)} files and {len(ICONS)} icons in {vendor}"


def note(place: Place) -> Path:
    """The file that says from what the libraries were copied."""
    return place.repo / "static" / "vendor" / ".release"


def sprite(folder: Path) -> str:
    """One SVG document with a symbol for each icon, drawn in the colour of the text around it."""
    ElementTree.register_namespace("", SVG)
    document = ElementTree.Element(f"{{{SVG}}}svg")
    for name in ICONS:
        drawing = ElementTree.parse(folder / f"{name}.svg").getroot()  # noqa: S314 - of a pinned package
        symbol = ElementTree.SubElement(document, f"{{{SVG}}}symbol", id=name, viewBox="0 0 24 24")
        symbol.extend(list(drawing))
    return ElementTree.tostring(document, encoding="unicode")


def _without_map(text: str) -> str:
    """Without the name of a source map: it is not copied, and the manifest of static files would miss it."""
    return SOURCE_MAP.sub("", text)


def _release(repo: Path) -> str:
    covered = hashlib.blake2b(digest_size=8)
    for file in (repo / "package-lock.json", Path(__file__)):
        covered.update(file.read_bytes())
    return covered.hexdigest()

"""Stops what `make up` started, and with `make clean` removes what it made.

Stopping the platform is not stopping the customers: their containers and wires carry
traffic on. `clean` removes those as well, and only those of this installation's PoPs.
"""

from __future__ import annotations

import shutil

from scripts import base, calls, commands, customer, demo, engine, images, supervision
from scripts.console import say, step
from scripts.place import Place
from scripts.processes import enrolled_pops
from worker import lab

#: The label that says which PoP a container belongs to.
POP_LABEL = "naas.pop"


def down(place: Place) -> None:
    """Stop the platform's processes, and Docker if it was started for them."""
    kept = service_containers(place) if engine.answers() else ()
    stop(place)
    if kept:
        say(
            f"{len(kept)} containers of customer services carry traffic on, with no one to repair them: "
            "`make up` takes them over again, `make clean` removes them."
        )


def stop(place: Place) -> None:
    with step("Processes") as running:
        running.outcome = "stopped" if supervision.shut_down(place) else "none were running"
    if engine.was_started(place):
        with step("Docker") as running:
            running.outcome = engine.stop_unit(place)


def clean(place: Place) -> None:
    """Remove the services, the lab's sites, the build's leftovers and `var/`."""
    if enrolled_pops(place):
        with step("Services") as running:
            supervision.stop_platform(place)
            base.start_engine(place, base.programs(place, {}))
            running.outcome = remove_services(place)
        with step("Customer premises") as running:
            running.outcome = remove_premises(place)
    if engine.answers():
        images.remove_leftovers()
    stop(place)
    with step("Files") as running:
        if place.var.exists():
            shutil.rmtree(place.var)
        running.outcome = f"removed {place.var}"


def remove_services(place: Place) -> str:
    """Remove every container and the fabric of this installation's PoPs. Says what there was."""
    containers = service_containers(place)
    if containers:
        commands.run("docker", "rm", "--force", "--volumes", *containers)
    fabrics = [f"naas-{slug}" for slug in enrolled_pops(place)]
    standing = {line.split()[0] for line in commands.run("ip", "netns", "list").splitlines() if line}
    found = [name for name in fabrics if name in standing]
    for name in found:
        commands.run("ip", "netns", "delete", name)
    return f"removed {len(containers)} containers, {len(found)} fabrics"


def remove_premises(place: Place) -> str:
    """Remove the demo's sites. Sites that someone made by hand stay, with a word on how to remove them."""
    for name in (*(site.name for site in demo.SITES), *(end.site for end in calls.ENDS)):
        customer.lab(place, "down", name)
    others = lab.names(root=None)
    return f"others stay ({', '.join(others)}): python -m worker.lab down --all" if others else "removed"


def service_containers(place: Place) -> tuple[str, ...]:
    """Ids of the containers, running or not, of this installation's PoPs."""
    found = (
        commands.run("docker", "ps", "--all", "--quiet", "--filter", f"label={POP_LABEL}={slug}").split()
        for slug in enrolled_pops(place)
    )
    return tuple(container for ids in found for container in ids)

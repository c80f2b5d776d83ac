"""The images the platform runs, built from the folders that describe them.

An image is built again only when its folder or its base changed: a digest of both is
kept as a label. Nothing is pulled but the base, and where that cannot be pulled the same
is made from the machine's own Debian packages.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from scripts import commands
from scripts.console import Step
from scripts.errors import SetupError
from scripts.place import Place

PUBLIC_BASE = "debian:bookworm-slim"
OWN_BASE = "naas/base:bookworm"
RECIPE_LABEL = "naas.recipe"
LEFTOVER_LABEL = "naas.leftover"

#: Builds wait for downloads and for the disk in turns.
BUILDS_AT_A_TIME = 2
#: Seconds in which a registry must have answered; the download itself may take as long as it does.
REGISTRY_TIMEOUT = 20.0
APT = Path("/etc/apt")
#: Where machines say where they get Debian from; files of other vendors are called otherwise.
APT_SOURCES = ("sources.list.d/*debian*.sources", "sources.list", "sources.list.d/*debian*.list")
#: What debian:bookworm-slim leaves out as well.
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*")
#: Variables that programs honour for a proxy; docker build passes them on when named.
PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


#: The Python of Debian 12, which the images have.
IMAGE_PYTHON = "3.11"


@dataclass(frozen=True)
class Recipe:
    """An image and the folder it is built from. `wheel` is a Python package that it needs under `wheels/` there."""

    tag: str
    folder: Path
    wheel: str = ""


def recipes(repo: Path) -> tuple[Recipe, ...]:
    """Every image of the platform, the holder first and the SBC's probe last.

    `image/Dockerfile` of a kind is `naas/<kind>:1`, `image/<part>/Dockerfile` is `naas/<kind>-<part>:1`.
    """
    kinds = [(folder.name, folder) for folder in sorted(repo.glob("services/kinds/*"))] + [("sbc", repo / "sbc/kind")]
    return (
        Recipe("naas/holder:1", repo / "worker/image/holder"),
        *(
            Recipe(f"naas/{'-'.join((kind, *file.parent.relative_to(folder / 'image').parts))}:1", file.parent)
            for kind, folder in kinds
            for file in sorted((folder / "image").glob("**/Dockerfile"))
        ),
        Recipe("naas/sbc-probe:1", repo / "sbc/probe", wheel="pjsua2-python"),
    )


def recipe_digest(folder: Path, base: str) -> str:
    """Sixteen hex digits over the folder's files (paths, modes, contents) and the id of the base image."""
    covered = hashlib.blake2b(base.encode(), digest_size=8)
    for file in _files(folder):
        executable = bool(file.stat().st_mode & 0o100)
        covered.update(f"\0{file.relative_to(folder)}\0{executable}\0".encode())
        covered.update(hashlib.blake2b(file.read_bytes()).digest())
    return covered.hexdigest()


def build_all(place: Place, step: Step) -> None:
    """Build what is not up to date, showing the build's own steps."""
    base, remark = ensure_base(place, step)
    base_id = _inspect(base, "{{.Id}}")
    listed = recipes(place.repo)
    for recipe in listed:
        if recipe.wheel:
            step.progress(f"{recipe.tag} {recipe.wheel}")
            fetch_wheel(place, recipe)
    with ThreadPoolExecutor(BUILDS_AT_A_TIME) as builders:
        done = builders.map(lambda recipe: build(recipe, base, base_id, step), listed)
        built = [recipe.tag for recipe, new in zip(listed, done, strict=True) if new]
    if built:
        remove_leftovers()
    step.outcome = f"built {', '.join(built)}{remark}" if built else "up to date"


def build(recipe: Recipe, base: str, base_id: str, step: Step) -> bool:
    """Build one image. Says whether there was anything to do."""
    digest = recipe_digest(recipe.folder, base_id)
    if _inspect(recipe.tag, f'{{{{index .Config.Labels "{RECIPE_LABEL}"}}}}') == digest:
        return False

    def show(line: str) -> None:
        if line.startswith("Step "):
            step.progress(f"{recipe.tag} {line}")

    commands.stream(build_command(recipe, base, digest), show, env=os.environ | {"DOCKER_BUILDKIT": "0"})
    return True


def build_command(recipe: Recipe, base: str, digest: str) -> tuple[str, ...]:
    proxies = (word for name in PROXY_VARIABLES if name in os.environ for word in ("--build-arg", name))
    options = ("--network", "host", "--build-arg", f"BASE={base}", "--label", f"{RECIPE_LABEL}={digest}")
    return ("docker", "build", *options, *proxies, "--tag", recipe.tag, str(recipe.folder))


def fetch_wheel(place: Place, recipe: Recipe) -> None:
    """Have the pinned version of the recipe's wheel, and no other, in its folder.

    Only this machine's own pip knows where packages come from; a build need not.
    """
    wheels = recipe.folder / "wheels"
    pins = place.repo / "constraints.txt"
    wanted = wheel_prefix(recipe.wheel, pins.read_text())
    for file in wheels.glob("*.whl"):
        if file.name.startswith(wanted):
            return
        file.unlink()
    options = ("--quiet", "--no-deps", "--only-binary=:all:", "--python-version", IMAGE_PYTHON)
    commands.run(
        *(place.python, "-m", "pip", "download", *options),
        *("--constraint", pins, "--dest", wheels, recipe.wheel),
    )


def wheel_prefix(package: str, pins: str) -> str:
    """How the file of a pinned package's wheel begins. Raises `SetupError`."""
    for line in pins.splitlines():
        name, _, version = line.partition("==")
        if name == package:
            return f"{package.replace('-', '_')}-{version}-"
    raise SetupError(f"constraints.txt does not pin {package}: run `make pins`")


def remove_leftovers() -> None:
    """Remove our untagged images: those of build stages, and those that a newer one of the same name replaced."""
    for label in (LEFTOVER_LABEL, RECIPE_LABEL):
        commands.run("docker", "image", "prune", "--force", "--filter", f"label={label}")


# --- the base ---------------------------------------------------------------------------


def ensure_base(place: Place, step: Step) -> tuple[str, str]:
    """The base image to build on, and a remark for the user when it is not the public one."""
    for base in (PUBLIC_BASE, OWN_BASE):
        if _inspect(base, "{{.Id}}"):
            return base, _remark(base)
    step.progress(f"pulling {PUBLIC_BASE}")
    if pull(PUBLIC_BASE):
        return PUBLIC_BASE, _remark(PUBLIC_BASE)
    step.progress(f"{PUBLIC_BASE} cannot be pulled; making {OWN_BASE} from Debian's packages")
    make_base(place)
    return OWN_BASE, _remark(OWN_BASE)


def pull(image: str) -> bool:
    """Pull, giving up on a registry that does not answer soon. Says whether the image is there now."""
    command = ("docker", "pull", image)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        patience = threading.Timer(REGISTRY_TIMEOUT, process.terminate)
        patience.start()
        assert process.stdout is not None
        for _ in process.stdout:
            patience.cancel()
        patience.cancel()
    return process.returncode == 0


def make_base(place: Place) -> None:
    """Make the base with mmdebstrap, from where this machine takes its own packages."""
    if shutil.which("mmdebstrap") is None:
        commands.run(place.repo / "scripts/bootstrap.sh", "base")
    archive = place.var / "base.tar"
    slim = (f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT)
    source = apt_source(APT)
    try:
        commands.run("mmdebstrap", "--variant=minbase", "--include=ca-certificates", *slim, "bookworm", archive, source)
        commands.run("docker", "import", archive, OWN_BASE)
    finally:
        archive.unlink(missing_ok=True)


def apt_source(apt: Path) -> Path:
    """The file that says where this machine gets Debian from. Raises `SetupError`."""
    files = (file for pattern in APT_SOURCES for file in sorted(apt.glob(pattern)))
    for file in files:
        if {"bookworm", "main"} <= set(file.read_text().split()):
            return file
    raise SetupError(
        f"{PUBLIC_BASE} cannot be pulled, and {apt} names no source of Debian 12 (bookworm) main to make it from: "
        "add one, or `docker load` the image"
    )


def _remark(base: str) -> str:
    return "" if base == PUBLIC_BASE else f" (on {base}, made here: {PUBLIC_BASE} could not be pulled)"


def _inspect(image: str, template: str) -> str:
    """A field of a local image, empty when there is no such image."""
    try:
        return commands.run("docker", "image", "inspect", "--format", template, image).strip()
    except commands.CommandFailed:
        return ""


def _files(folder: Path) -> Iterator[Path]:
    files = (file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    yield from sorted(files)

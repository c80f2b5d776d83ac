"""What a container uses, from the files of its control groups (cgroups(7)), version 2 or 1. No engine is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Groups:
    """Where a container's processor time and memory are counted."""

    cpu: Path
    memory: Path

    @classmethod
    def of(cls, membership: str, root: Path = ROOT) -> Groups | None:
        """From what `/proc/<pid>/cgroup` says; None when these are not among the mounted ones."""
        places = {}
        for line in membership.splitlines():
            _, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            for controller in controllers.split(","):
                places[controller] = path.lstrip("/")
        if "memory" in places and "cpuacct" in places:
            found = cls(root / "cpuacct" / places["cpuacct"], root / "memory" / places["memory"])
        elif "" in places:
            found = cls(root / places[""], root / places[""])
        else:
            return None
        return found if found.cpu.is_dir() and found.memory.is_dir() else None

    def used(self) -> tuple[float, int] | None:
        """Seconds of processor time since it started, and bytes of memory in use; None when it has ended."""
        try:
            if (usage := self.cpu / "cpuacct.usage").exists():
                taken = int((self.memory / "memory.usage_in_bytes").read_text())
                idle = _field((self.memory / "memory.stat").read_text(), "total_inactive_file")
                return int(usage.read_text()) / 1e9, max(0, taken - idle)
            taken = int((self.memory / "memory.current").read_text())
            idle = _field((self.memory / "memory.stat").read_text(), "inactive_file")
            return _field((self.cpu / "cpu.stat").read_text(), "usage_usec") / 1e6, max(0, taken - idle)
        except (OSError, ValueError):
            return None


def _field(text: str, name: str) -> int:
    """A line of a flat keyed file; 0 where there is none."""
    return next((int(line.split()[1]) for line in text.splitlines() if line.split(" ", 1)[0] == name), 0)

"""What a command takes: time, and peak memory of it and of the processes that it starts."""

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gravlensdiffusion.errors import GravLensError

POLL_S = 0.05
"""Time between two looks at the memory [s]."""
PROC = Path("/proc")


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What a command took.

    Attributes:
        wall_s: Time by the clock [s].
        processor_s: Time on the processors, of it and of the processes it waited for [s].
        peak_bytes: Largest sum of the resident memory of all its processes [byte]; pages that they
            share count for each.
    """

    wall_s: float
    processor_s: float
    peak_bytes: int


def measure(command: Sequence[str], environment: Mapping[str, str]) -> Usage:
    """Run a command to its end.

    Args:
        command: The program and its arguments.
        environment: Changes to the environment variables.

    Raises:
        GravLensError: If it fails; the end of what it said is in the message.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    said: list[bytes] = []
    listener = threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True)
    listener.start()
    peak = 0
    while True:
        peak = max(peak, resident_bytes(process.pid))
        done, status, usage = os.wait4(process.pid, os.WNOHANG)
        if done:
            break
        time.sleep(POLL_S)
    wall = time.perf_counter() - started
    listener.join(timeout=1)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        end = b"".join(said).decode(errors="replace").strip()[-500:]
        raise GravLensError(f"{' '.join(command)} ended with {process.returncode}: {end}")
    # The kernel's own record of one process misses no moment.
    return Usage(
        wall_s=wall,
        processor_s=usage.ru_utime + usage.ru_stime,
        peak_bytes=max(peak, 1024 * usage.ru_maxrss),
    )


def resident_bytes(root: int) -> int:
    """Return the resident memory of a process and of all that descend from it [byte]."""
    return sum(_resident_bytes(each) for each in family(root))


def family(root: int) -> list[int]:
    """Return the number of a process and of all that descend from it; of itself alone off Linux."""
    found = [root]
    for each in found:
        for path in PROC.glob(f"{each}/task/*/children"):
            try:
                found += map(int, path.read_text().split())
            except OSError:
                # It ended in the meantime.
                continue
    return found


def _resident_bytes(pid: int) -> int:
    try:
        pages = int((PROC / str(pid) / "statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")

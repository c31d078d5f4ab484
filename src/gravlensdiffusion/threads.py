"""How many threads compute in a process of ours, and how they wait for each other."""

import os
import sys
import time
from pathlib import Path

from gravlensdiffusion.errors import GravLensError

WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
"""Threads that wait let others have the core; spinning, they take it from whoever has work."""
NUMBERS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
LOOK_S = 0.2
"""How long the cores are looked at [s]."""


def use_threads(num: int | None) -> None:
    """Settle how this process computes; the environment goes before what is settled here unasked.

    It is for the command line, which calls it before torch is loaded: only then can it say how
    threads wait, and how many there are where nobody has asked for a number.

    Args:
        num: Number of threads; None for as many as there are free cores.

    Raises:
        GravLensError: If there is to be none.
    """
    if num is not None and num < 1:
        raise GravLensError(f"--threads must be at least 1, got {num}")
    if "torch" in sys.modules:
        if num is not None:
            sys.modules["torch"].set_num_threads(num)
        return
    for name, value in WAITING.items():
        os.environ.setdefault(name, value)
    if num is None:
        if any(os.environ.get(name) for name in NUMBERS):
            return
        num = num_free_cores()
    if num is not None:
        os.environ.update(dict.fromkeys(NUMBERS, str(num)))


def num_free_cores() -> int | None:
    """Return how many cores there are to compute on, at least 1; None where all of them are free."""
    from joblib import cpu_count

    # It knows of affinity and of the quotas of containers; PyTorch does not know of the latter.
    num, cores = cpu_count(), _cores()
    free = min(num, round(_free(cores)))
    return None if free >= len(cores) else max(1, min(free, cpu_count(only_physical_cores=True)))


def _cores() -> frozenset[int]:
    """Return the numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def _free(cores: frozenset[int]) -> float:
    """Return how many of the cores are idle, measured where the system tells, else from its load."""
    before = _times()
    time.sleep(LOOK_S if before else 0)
    after = _times()
    idle = total = 0
    for core in cores & before.keys() & after.keys():
        idle += after[core][0] - before[core][0]
        total += after[core][1] - before[core][1]
    if total > 0:
        return len(cores) * idle / total
    try:
        return len(cores) - os.getloadavg()[0]
    except (AttributeError, OSError):
        return len(cores)


def _times() -> dict[int, tuple[int, int]]:
    """Return how long each core was idle, and in all [ticks]; nothing where that is not told."""
    try:
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return {}
    found = {}
    for line in lines:
        name, *numbers = line.split()
        if name.startswith("cpu") and name[3:].isdigit():
            # user, nice, system, idle, waiting for a disk, ...; guests are among the users.
            ticks = [int(each) for each in numbers[:8]]
            found[int(name[3:])] = (sum(ticks[3:5]), sum(ticks))
    return found

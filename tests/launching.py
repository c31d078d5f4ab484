"""Commands under a launcher, as processes on this machine that meet over gloo."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone")


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a launcher: one thread each, no GPU, tests to be imported."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(paths),
    }
    return os.environ | own | more


def torchrun(num: int, *words: object, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a script, or a module after ``-m --``, in several processes.

    Without ``--``, torchrun takes ``--num`` of a command for one of its own options.
    """
    command = [*TORCHRUN, "--nproc-per-node", str(num), *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment(**more), timeout=240
    )

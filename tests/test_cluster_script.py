"""The Slurm script of docs/cluster.md, run with stand-ins for Slurm's commands."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.codec import to_json
from gravlensdiffusion.model.folders import checkpoints
from tests.launching import ROOT, environment
from tests.sources import rings, tiny

pytestmark = pytest.mark.faults

COMMANDS = {
    "srun": 'while [ "${1#--}" != "$1" ]; do shift; done\necho $$ > step.pid\nexec "$@"\n',
    "scancel": 'echo "scancel $*" >> calls\nkill -TERM "$(cat step.pid)"\n',
    "scontrol": 'echo "scontrol $*" >> calls\n[ "$1" = requeue ] || echo localhost\n',
    "torchrun": f'exec "{sys.executable}" -m torch.distributed.run "$@"\n',
}


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Write the script, Slurm's stand-ins and a training set to a folder of its own."""
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```bash\n(.*?)```", page, flags=re.DOTALL)
    assert "--batch-size 256 --precision bf16 --prefetch 4" in text
    np.savez(tmp_path / "train.npz", images=rings(40).images)
    (tmp_path / "recipe.json").write_text(to_json(tiny(total_images=600)))
    text = text.replace("--preset lens150 --data train.h5", "--preset recipe.json --data train.npz")
    text = text.replace("--batch-size 256 --precision bf16 --prefetch 4", "")
    path = tmp_path / "train.sh"
    path.write_text(text)
    for name, body in COMMANDS.items():
        command = tmp_path / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(f"#!/bin/bash\n{body}")
        command.chmod(0o755)
    return path


def start(script: Path) -> subprocess.Popen[str]:
    slurm = {"SLURM_JOB_ID": "17", "SLURM_JOB_NODELIST": "n1", "SLURM_JOB_NUM_NODES": "1"}
    place = {"PATH": f"{script.parent / 'bin'}{os.pathsep}{os.environ['PATH']}", "PROCESSES": "2"}
    return subprocess.Popen(
        ["bash", str(script)],
        cwd=script.parent,
        env=environment(**slurm, **place),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_job_whose_time_is_up_saves_and_comes_back(script: Path) -> None:
    run = script.parent / "runs" / "lens150"
    job = start(script)
    deadline = time.monotonic() + 120
    while not (run / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    job.send_signal(signal.SIGUSR1)
    _, told = job.communicate(timeout=120)
    assert job.returncode == 0, told
    calls = (script.parent / "calls").read_text().splitlines()
    assert calls == [
        "scontrol show hostnames n1",
        "scancel --signal=TERM 17.0",
        "scontrol requeue 17",
    ]
    assert told.count("run the same command to go on") == 1
    assert 0 < checkpoints(run)[-1].images_seen < 600
    job = start(script)
    done, told = job.communicate(timeout=120)
    assert job.returncode == 0, told
    assert done == "trained runs/lens150 on 40 different images, 600 seen\n"

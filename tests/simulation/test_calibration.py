import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("GRAVLENS_SHARED_DATA", ROOT.parent / "shared" / "data"))


@pytest.mark.skipif(
    not (DATA / "deeplense_samples_36.npz").exists(), reason="needs the real DeepLense images"
)
def test_deeplense_preset_agrees_with_the_real_set():
    command = [sys.executable, ROOT / "benchmarks" / "calibration.py", DATA]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("|\n") == 16

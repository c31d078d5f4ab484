"""The package's front door."""

import subprocess
import sys

import pytest

import gravlensdiffusion


def test_every_public_name_can_be_had() -> None:
    for name in gravlensdiffusion.__all__:
        assert getattr(gravlensdiffusion, name).__module__.startswith("gravlensdiffusion")
    assert set(gravlensdiffusion.__all__) <= set(dir(gravlensdiffusion))
    with pytest.raises(AttributeError, match="no attribute 'galaxy'"):
        _ = gravlensdiffusion.galaxy


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("gravlensdiffusion", {"torch", "numpy", "lenstronomy", "h5py"}),
        ("gravlensdiffusion.simulation.generate", {"torch"}),
        ("gravlensdiffusion.presets.training", {"torch"}),
    ],
)
def test_importing_costs_no_more_than_it_must(module: str, unwanted: set[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not unwanted & set(done.stdout.split())

"""Two processes train as one does: the same images, the same loss, the same weights."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from gravlensdiffusion.model.folders import checkpoints
from gravlensdiffusion.training.run import read_metrics
from tests.launching import torchrun
from tests.training.driving import final_tensors
from tests.training.together import RECIPES, STOP_AFTER, run
from tests.training.together import __file__ as together

pytestmark = pytest.mark.faults
ROUNDING = 5e-5
"""Weights differ by less; from one checkpoint to the next they move by five times as much."""


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the runs that one process made."""
    return tmp_path_factory.mktemp("one")


@pytest.fixture(scope="module")
def alone(one: Path) -> dict[str, Any]:
    """Return what one process saw."""
    return {name: run(name, one) for name in ("plain", "ordered", "broken")}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the runs of two processes, one of them begun by one process."""
    folder = tmp_path_factory.mktemp("two")
    run("moved", folder, STOP_AFTER)
    done = torchrun(2, together, folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def shared(two: Path) -> list[dict[str, Any]]:
    """Return what each of two processes saw."""
    return [json.loads((two / f"seen-{k}.json").read_text()) for k in (0, 1)]


def losses(line: dict[str, float]) -> dict[str, float]:
    """Return the losses in a line of the log, that of held-out images among them."""
    return {name: value for name, value in line.items() if name.endswith("loss")}


def assert_alike(run: Path, other: Path) -> None:
    """Compare loss curves and final weights within rounding."""
    curves = [[(m["images"], losses(m)) for m in read_metrics(each)] for each in (run, other)]
    assert len(curves[0]) == len(curves[1]) > 4
    for (images, line), (other_images, other_line) in zip(*curves, strict=True):
        assert images == other_images
        assert line == pytest.approx(other_line, abs=1e-6)
    weights, others = final_tensors(run), final_tensors(other)
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        assert torch.allclose(value, others[name], rtol=0, atol=ROUNDING), name


@pytest.mark.parametrize("name", ["plain", "ordered"])
def test_the_images_are_those_of_one_process(
    name: str, alone: dict[str, Any], shared: list[dict[str, Any]]
) -> None:
    drawn = [seen[name]["drawn"] for seen in shared]
    assert not drawn[0].keys() & drawn[1].keys()
    assert drawn[0] | drawn[1] == alone[name]["drawn"]
    size = RECIPES[name][0].batch_size
    # Each has its half of every batch.
    assert [{int(k) % size for k in part} for part in drawn] == [{0, 1, 2, 3}, {4, 5, 6, 7}]


@pytest.mark.parametrize("name", ["plain", "ordered"])
def test_loss_and_weights_are_those_of_one_process(
    name: str, alone: dict[str, Any], shared: list[dict[str, Any]], one: Path, two: Path
) -> None:
    assert_alike(one / name, two / name)
    assert all(seen[name]["loss"] == shared[0][name]["loss"] for seen in shared)
    assert ("held_out_loss" in read_metrics(two / name)[0]) == (name == "ordered")
    kept = checkpoints(two / name)
    earlier, last = (load_file(each.folder / "model.safetensors") for each in (kept[0], kept[-1]))
    assert max(float((earlier[key] - last[key]).abs().max()) for key in last) > 5 * ROUNDING


def test_a_run_of_one_process_goes_on_with_two(
    alone: dict[str, Any], shared: list[dict[str, Any]], one: Path, two: Path
) -> None:
    numbers = [int(k) for seen in shared for k in seen["moved"]["drawn"]]
    assert min(numbers) == STOP_AFTER * RECIPES["moved"][0].batch_size
    assert_alike(one / "plain", two / "moved")


def test_one_that_is_told_to_stop_stops_all_and_one_process_goes_on(
    alone: dict[str, Any], shared: list[dict[str, Any]], one: Path, two: Path
) -> None:
    batch_size = RECIPES["stopped"][0].batch_size
    assert [seen["stopped"]["images_seen"] for seen in shared] == [STOP_AFTER * batch_size] * 2
    assert [each.images_seen for each in checkpoints(two / "stopped")][-1] == 40
    run("stopped", two)
    assert_alike(one / "plain", two / "stopped")


def test_a_batch_that_is_not_finite_in_one_process_is_skipped_by_all(
    alone: dict[str, Any], shared: list[dict[str, Any]], one: Path, two: Path
) -> None:
    assert alone["broken"]["num_skipped"] == 1
    assert [seen["broken"]["num_skipped"] for seen in shared] == [1, 1]
    assert_alike(one / "broken", two / "broken")

"""The study of augmentation: no image counts twice, and its tables say what the pieces say."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gravlensdiffusion.sets.records import LensRecord, SetHeader
from gravlensdiffusion.store.writer import write_store

NUM_PER_CLASS = 17_500


@pytest.fixture
def pool(tmp_path: Path) -> Any:
    """Tiny images whose first pixel numbers them within their class."""
    from augmenting.images import Pool

    store = write_store(
        tmp_path / "pool.h5",
        (
            LensRecord(image=np.array([[[k // 3, 1], [0, 0]]], dtype=np.float32), label=k % 3)
            for k in range(3 * 60)
        ),
        SetHeader(class_names=("no_sub", "cdm", "axion"), flux_unit="peak"),
    )
    found = Pool(store)
    # As if it were large: positions are what is tested.
    found.by_class = [np.arange(NUM_PER_CLASS) for _ in range(3)]
    found.take = lambda parts: parts  # type: ignore[method-assign, assignment, return-value]
    return found


def test_images_are_taken_by_class_in_the_order_asked_for(tmp_path: Path) -> None:
    from augmenting.images import Pool

    store = write_store(
        tmp_path / "pool.h5",
        (
            LensRecord(image=np.array([[[k, 1], [0, 0]]], dtype=np.float32), label=k % 3)
            for k in range(12)
        ),
        SetHeader(class_names=("no_sub", "cdm", "axion"), flux_unit="peak"),
    )
    images, labels = Pool(store).take([np.array([0]), np.array([2, 1]), np.array([3])])
    assert images[:, 0, 0, 0].tolist() == [0, 7, 4, 11]
    assert labels.tolist() == [0, 1, 1, 2]


def test_no_image_belongs_to_two_seeds_or_is_both_real_and_fresh(pool: Any) -> None:
    from augmenting.images import MAX_SEEDS, fresh_images, real_images
    from augmenting.settings import REGIMES

    for regime in REGIMES.values():
        taken: list[np.ndarray] = []
        for seed in range(MAX_SEEDS):
            taken += [real_images(pool, regime, seed)[2], fresh_images(pool, regime, seed)[2]]
        everything = np.concatenate(taken)
        assert len(np.unique(everything)) == len(everything)
        assert everything.max() < NUM_PER_CLASS


def test_a_scarce_set_is_part_of_the_larger_one_of_its_seed(pool: Any) -> None:
    from augmenting.images import real_images
    from augmenting.settings import REGIMES

    few, many, rare = (real_images(pool, REGIMES[name], 1)[2] for name in ("n100", "n1000", "rare"))
    assert set(few) <= set(many)
    assert set(rare) <= set(few)


def test_generated_images_fill_the_rare_class_or_all_classes_alike() -> None:
    from augmenting.images import added
    from augmenting.settings import REGIMES

    regime = REGIMES["rare"]
    labels = np.repeat(np.arange(3), regime.target)
    images = np.zeros((len(labels), 1, 2, 2), dtype=np.float32)
    _, filled = added((images, labels), regime, even=False)
    assert np.bincount(filled, minlength=3).tolist() == [0, 0, 970]
    _, alike = added((images, labels), regime, even=True)
    assert np.bincount(alike, minlength=3).tolist() == [970, 970, 970]


def test_one_guided_drawing_serves_every_scarce_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from augmenting import generators
    from augmenting.settings import REGIMES, Options

    drawn = []

    def draw(model: str, num: int, seed: int, how: Any) -> np.ndarray:
        drawn.append((model, num, seed, how.guidance))
        values = np.repeat(np.arange(3), num) * 10_000 + np.tile(np.arange(num), 3)
        return np.broadcast_to(values[:, None, None, None], (3 * num, 1, 2, 2)).astype(np.float32)

    monkeypatch.setattr(generators, "draw", draw)
    options = Options(out=tmp_path, size=2)
    for name in ("n1000", "n100", "rare"):
        images, labels = generators.draws(options, None, "guided", REGIMES[name], 1)  # type: ignore[arg-type]
        target = REGIMES[name].target
        assert np.bincount(labels).tolist() == [target] * 3
        assert (images[:, 0, 0, 0] == labels * 10_000 + np.tile(np.arange(target), 3)).all()
    assert [(model, num, guidance) for model, num, _, guidance in drawn] == [("lens28", 2000, 2.0)]
    for seed in (1, 2):
        generators.draws(options, None, "transfer", REGIMES["n100"], seed)  # type: ignore[arg-type]
    seeds = [seed for _, _, seed, _ in drawn]
    # Each drawing takes a seed for every class.
    assert min(np.diff(sorted(seeds))) >= 3


def piece(regime: str, arm: str, seed: int, auc: float) -> dict[str, Any]:
    scores = {
        "auc": auc,
        "class_auc": [auc, auc, 0.9],
        "pair_auc": {"no_sub/cdm": 0.7},
        "accuracy": 0.5,
        "recall": [0.4, 0.5, 0.6],
        "calibration_error": 0.02,
        "log_loss": 1.0,
    }
    images = {"no_sub": 100, "cdm": 100, "axion": 100}
    return {
        "regime": regime,
        "arm": arm,
        "seed": seed,
        "images": images,
        "as_trained": scores,
        "even": scores,
    }


def test_the_tables_give_mean_spread_and_the_difference_seed_by_seed(tmp_path: Path) -> None:
    from augmenting.report import report
    from augmenting.settings import Options, write_piece

    options = Options(out=tmp_path / "run", docs=tmp_path / "docs")
    for seed, (before, after) in enumerate([(0.50, 0.60), (0.60, 0.72), (0.70, 0.84)]):
        write_piece(options, f"n100-turned-{seed}", piece("n100", "turned", seed, before))
        write_piece(options, f"n100-fresh-{seed}", piece("n100", "fresh", seed, after))
    write_piece(options, "bound", piece("", "", 0, 0.9))
    text = report(options, 5)
    rows = {line.split(" | ")[0]: line for line in text.splitlines()}
    assert "0.600 ± 0.100" in rows["| + half turns"]
    # Gaps of 0.10, 0.12 and 0.14: mean 0.12, standard error 0.02 / sqrt(3).
    assert "0.720 ± 0.120 | +0.120 ± 0.012" in rows["| + half turns, fresh simulations"]
    assert "area 0.900" in text
    written = json.loads((tmp_path / "docs/benchmarks/augmentation.json").read_text())
    assert len(written["arms"]) == 6
    assert (tmp_path / "docs/images/augmentation.png").stat().st_size > 10_000


def test_what_needs_no_new_generator_comes_first_and_every_arm_once() -> None:
    from augmentation import plan
    from augmenting.settings import ARMS, REGIMES

    planned = list(plan([0, 1], list(REGIMES.values()), list(ARMS.values())))
    kinds = [arm.extra == "honest" for _, _, arm in planned]
    assert kinds == sorted(kinds)
    names = [(seed, regime.name, arm.name) for seed, regime, arm in planned]
    assert len(set(names)) == len(names) == 2 * (9 + 9 + 14)
    assert (0, "n100", "weights") not in names

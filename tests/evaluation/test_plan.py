import numpy as np
import pytest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.plan import ComparisonPlan


@pytest.mark.parametrize(
    ("generated", "reference", "second", "sizes"),
    [
        (1000, 1000, 1000, (1000, 1000)),
        (1000, 1000, 0, (500, 500)),
        (200, 1000, 0, (200, 800)),
        (95, 36, 0, (18, 18)),
        (1000, 1000, 500, (750, 750)),
        (1000, 100, 10_000, (1000, 100)),
    ],
)
def test_value_and_floor_have_the_same_sizes_and_disjoint_real_images(
    generated, reference, second, sizes
):
    plan = ComparisonPlan.of(generated, reference, second, num_seeds=3, seed=0)
    assert (plan.num_generated, plan.num_reference) == sizes
    for split in plan.splits:
        assert len(split.generated) == len(split.floor) == sizes[0]
        assert len(split.reference) == len(split.floor_reference) == sizes[1]
        assert not np.intersect1d(split.floor, split.floor_reference).size
        for indices, most in (
            (split.generated, generated),
            (split.reference, reference),
            (split.floor, reference + second),
            (split.floor_reference, reference + second),
        ):
            assert len(np.unique(indices)) == len(indices)
            assert indices.max() < most


def test_seeds_give_other_splits_and_the_same_seed_the_same():
    one, two = (ComparisonPlan.of(100, 100, 0, num_seeds=2, seed=4) for _ in range(2))
    assert np.array_equal(one.splits[1].floor, two.splits[1].floor)
    assert not np.array_equal(one.splits[0].floor, one.splits[1].floor)


def test_what_is_small_is_said():
    assert not ComparisonPlan.of(1000, 1000, 1000, num_seeds=1, seed=0).notes
    notes = " ".join(ComparisonPlan.of(95, 36, 0, num_seeds=1, seed=0).notes)
    assert "18 against 18" in notes
    assert "few images" in notes


@pytest.mark.parametrize("sizes", [(1, 100, 0), (100, 1, 50), (100, 0, 0)])
def test_too_small_sets_are_refused_in_one_line(sizes):
    with pytest.raises(GravLensError, match=r"has \d images?; at least \d are needed"):
        ComparisonPlan.of(*sizes, num_seeds=1, seed=0)


@pytest.mark.parametrize("sizes", [(100, 3, 0), (100, 2, 1)])
def test_a_handful_of_real_images_has_no_comparisons_and_says_why(sizes):
    plan = ComparisonPlan.of(*sizes, num_seeds=1, seed=0)
    assert not plan.splits
    assert plan.notes[0].startswith("3 real images are too few to share out")
    assert "hundreds would be needed" in plan.notes[0]
    assert ComparisonPlan.of(100, 4, 0, num_seeds=1, seed=0).splits

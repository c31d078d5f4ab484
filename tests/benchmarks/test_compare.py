"""Selection of settings at equal quality, and the clockwork of the comparison with other packages."""

import pytest


def test_the_cheapest_of_ours_that_is_as_good_is_found_at_equal_numbers() -> None:
    from comparison.quality import Setting, match

    theirs = Setting(arm="peer", sampler="slow", s_per_image=10.0, distances={64: 9.0, 1000: 2.0})
    bad = Setting(arm="ours", sampler="1", s_per_image=0.001, distances={64: 12.0, 1000: 3.0})
    good = Setting(arm="ours", sampler="4", s_per_image=0.004, distances={64: 9.5, 1000: 2.0})
    best = Setting(arm="ours", sampler="8", s_per_image=0.008, distances={64: 8.0, 1000: 1.0})
    found = match(theirs, [bad, best, good], 1000)
    assert found.ours == good
    assert found.ratio == pytest.approx(2500)
    assert match(theirs, [bad, best, good], 64).ours == best


def test_where_nothing_of_ours_is_as_good_there_is_no_ratio() -> None:
    from comparison.quality import Setting, match

    theirs = Setting(arm="peer", sampler="slow", s_per_image=10.0, distances={64: 1.0})
    ours = Setting(arm="ours", sampler="1", s_per_image=0.1, distances={64: 2.0, 1000: 0.5})
    assert match(theirs, [ours], 64).ratio is None


def test_the_best_setting_is_that_of_least_distance_among_those_measured() -> None:
    from comparison.quality import Setting, best_of

    slow = Setting(arm="peer", sampler="slow", s_per_image=10.0, distances={64: 1.0})
    fast = Setting(arm="peer", sampler="fast", s_per_image=1.0, distances={64: 2.0, 1000: 0.5})
    assert best_of([slow, fast], 64) == slow
    assert best_of([slow, fast], 1000) == fast
    assert best_of([slow], 1000) is None


def test_a_goal_is_reached_at_the_first_time_that_is_good_enough() -> None:
    from comparison.quality import time_to_reach

    curve = [(1200.0, 1.0), (200.0, 9.0), (400.0, 3.0)]
    assert time_to_reach(curve, 3.0) == 400
    assert time_to_reach(curve, 0.5) is None


def test_an_arm_with_a_share_is_planned_for_that_share_of_the_time() -> None:
    from comparison.settings import Options, budget, prepared, shares

    options = prepared(Options(arms="ours@0.25", minutes=20))
    assert budget(options, "ours@0.25") == 300
    assert shares(options, "ours@0.25") == [1.0]
    assert shares(options, "diffusers") == [0.1667, 0.3333, 0.5, 1.0]


def test_bundled_models_come_with_their_steps() -> None:
    from comparison.settings import Options, bundled_arms

    found = bundled_arms(Options(bundled=("lens28", "runs/mine:1,4")))
    assert found == {"bundled-lens28": ("lens28", ()), "bundled-mine": ("runs/mine", (1, 4))}


def test_padding_and_cropping_leave_images_as_they_were() -> None:
    import torch
    from comparison.images import PADDED, cropped, padded

    images = torch.rand(2, 1, 28, 28)
    wide = padded(images)
    assert wide.shape == (2, 1, PADDED, PADDED)
    assert torch.equal(cropped(wide), images)

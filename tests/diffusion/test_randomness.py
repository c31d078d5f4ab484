"""Random numbers that belong to an image: independence of the batch, of streams, of draws."""

import itertools

import numpy as np
import pytest
import torch

from gravlensdiffusion.diffusion.randomness import Stream, Streams, generator
from gravlensdiffusion.errors import GravLensError

SHAPE = (1, 6, 6)


def test_the_batch_changes_nothing() -> None:
    together = Streams(7, range(10)).normal(Stream.PRIOR, SHAPE)
    for indices in ([3], [9, 3], [3, 3, 0]):
        some = Streams(7, indices).normal(Stream.PRIOR, SHAPE)
        assert torch.equal(some, together[indices])


def test_earlier_draws_change_nothing() -> None:
    streams = Streams(7, [0, 1])
    fresh = streams.normal(Stream.SAMPLER, SHAPE, draw=5)
    for draw in range(5):
        streams.normal(Stream.SAMPLER, (3,), draw=draw)
    assert torch.equal(streams.normal(Stream.SAMPLER, SHAPE, draw=5), fresh)


def test_seed_image_stream_and_draw_all_matter() -> None:
    choices = itertools.product((0, 1), (0, 1), (Stream.PRIOR, Stream.SAMPLER), (0, 1))
    draws = [
        Streams(seed, [k]).normal(stream, (4,), draw=draw) for seed, k, stream, draw in choices
    ]
    assert len({tuple(draw.flatten().tolist()) for draw in draws}) == 16


def test_numbers_are_standard_normal_and_uncorrelated_between_images() -> None:
    numbers = Streams(1, range(200)).normal(Stream.PRIOR, (500,))
    assert numbers.dtype == torch.float32
    assert numbers.mean().abs().item() < 4 / np.sqrt(100_000)
    assert numbers.var().item() == pytest.approx(1, abs=0.02)
    assert (numbers**4).mean().item() == pytest.approx(3, abs=0.15)
    correlation = torch.corrcoef(numbers) - torch.eye(200)
    # 19,900 pairs: the largest of as many independent values of spread 1/sqrt(500).
    assert correlation.abs().max().item() < 5.5 / np.sqrt(500)


def test_uniform_numbers_fill_the_unit_interval() -> None:
    numbers = Streams(1, range(4000)).uniform(Stream.TRAIN_TIME)
    assert numbers.dtype == torch.float64
    assert 0 <= numbers.min() < 0.002
    assert 0.998 < numbers.max() < 1
    assert numbers.mean().item() == pytest.approx(0.5, abs=0.02)
    assert Streams(1, [5, 6]).uniform(2, (3, 2)).shape == (2, 3, 2)


def test_one_number_and_no_image_are_allowed() -> None:
    assert Streams(0, [1, 2]).normal(Stream.PRIOR, ()).shape == (2,)
    assert Streams(0, []).normal(Stream.PRIOR, SHAPE).shape == (0, *SHAPE)


def test_numbers_are_those_of_every_release() -> None:
    """A seed in a paper or a model card must go on meaning the same images."""
    first = Streams(0, [0]).normal(Stream.PRIOR, (3,))[0].tolist()
    assert first == pytest.approx([0.05991104, 0.01555963, -1.16443849], rel=1e-6)
    names = [stream.name for stream in sorted(Stream)]
    assert names[:4] == ["PRIOR", "SAMPLER", "TRAIN_TIME", "TRAIN_NOISE"]
    assert len({int(stream) for stream in Stream}) == len(Stream.__members__)


@pytest.mark.parametrize(("seed", "index"), [(-1, 0), (2**64, 0), (0, -1), (0, 2**64)])
def test_numbers_out_of_range_are_refused(seed: int, index: int) -> None:
    with pytest.raises(GravLensError, match="2\\^64"):
        generator(seed, index, Stream.PRIOR)


def test_the_largest_seed_works() -> None:
    assert np.isfinite(generator(2**64 - 1, 2**64 - 1, Stream.PRIOR).random())

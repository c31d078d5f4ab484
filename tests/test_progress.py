"""How far long work is, in lines."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from gravlensdiffusion import progress
from gravlensdiffusion.progress import _duration, shown_progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_lines_come_at_growing_intervals(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with shown_progress(1000) as shown:
        times = []
        for second in range(1, 600):
            clock[0] = second
            shown.advance(1)
            if capsys.readouterr().err:
                times.append(second)
    waits = [b - a for a, b in pairwise(times)]
    assert times[0] == 5
    assert waits == sorted(waits)
    assert waits[-1] == 60


def test_a_line_says_how_far_how_fast_and_how_long(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with shown_progress(2000, steps=4) as shown:
        clock[0] = 10
        shown.update(4 * 500, "loss 0.1")
    with shown_progress(2000) as shown:
        shown.begin(1000)
        clock[0] = 30
        shown.update(1010)
    assert capsys.readouterr().err.splitlines() == [
        "gravlens: 500 of 2,000 images, 50 images/s, 30 s left, loss 0.1",
        "gravlens: 1,010 of 2,000 images, 2 s an image, 33 min left",
    ]


def test_the_start_of_what_makes_images_is_no_part_of_their_speed(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    def images() -> Iterator[int]:
        for k in range(60):
            clock[0] = 100 + k
            yield k

    with shown_progress(60) as shown:
        assert list(shown.over(images())) == list(range(60))
    first = capsys.readouterr().err.splitlines()[0]
    assert first == "gravlens: 6 of 60 images, 1.0 images/s, 54 s left"


def test_nothing_is_said_unasked(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress(10, is_shown=False) as shown:
        clock[0] = 100
        shown.advance(5)
    assert capsys.readouterr().err == ""


def test_times_are_told_in_two_units() -> None:
    assert [_duration(each) for each in (3, 89, 91, 5300, 9000)] == [
        "3 s",
        "89 s",
        "2 min",
        "88 min",
        "2 h 30 min",
    ]

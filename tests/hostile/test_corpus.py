"""No hostile file runs code, ends the process, hangs, fills the memory or leaves files behind."""

from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from tests.hostile.corpus import UNDAMAGED, cases
from tests.hostile.running import Report, marker, run

MIN_FILES = 1000


@pytest.fixture(
    scope="module", params=[25, pytest.param(1, marks=pytest.mark.fuzz)], ids=["some", "all"]
)
def step(request: pytest.FixtureRequest) -> int:
    """Return the step through the corpus: `make test` reads every 25th file, `make fuzz` all."""
    return request.param


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, step: int) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def report(folder: Path, step: int) -> Report:
    return run(list(islice(cases(), 0, None, step)), folder)


@pytest.mark.fuzz
def test_the_corpus_is_large() -> None:
    kinds = Counter(case.kind for case in cases())
    assert kinds.total() >= MIN_FILES
    assert min(kinds.values()) > 20


def test_every_file_is_read_or_refused_in_one_line(report: Report) -> None:
    """Within 10 s and 2 GiB each: see `Result.is_good`."""
    assert not report.bad, "\n\n".join(map(str, report.bad))


def test_no_code_in_a_file_is_run(report: Report, folder: Path) -> None:
    assert report.results
    assert not marker(folder).exists()


def test_nothing_is_written_but_where_it_was_asked_for(report: Report) -> None:
    assert not report.strays


def test_good_files_are_read(report: Report, step: int) -> None:
    good = [result for result in report.results if result.case.title == UNDAMAGED]
    assert len(good) > 10 / step
    # The tiny states of tensors are good files, but those of no network.
    refused = [result for result in good if result.outcome != "read"]
    assert {result.case.kind for result in refused} <= {"PyTorch"}


def test_what_leads_elsewhere_or_would_run_is_refused(report: Report, step: int) -> None:
    """Reading it would be no crash, and still be wrong."""
    words = (" link", " view of ", " lies in ", "code", "filter", "pickle that calls")
    risky = [
        result
        for result in report.results
        if result.case.kind in ("HDF5", "npy", "PyTorch")
        and any(word in result.case.title for word in words)
        # Of files of others images alone are read here: a link elsewhere in them is not followed.
        and ("of others" not in result.case.title or "/images" in result.case.title)
    ]
    assert len(risky) > 50 / step
    assert [str(result) for result in risky if result.outcome != "refused"] == []


def test_most_hostile_files_are_refused(report: Report) -> None:
    counts = Counter(result.outcome for result in report.results)
    assert counts["refused"] > counts["read"]


def test_the_corpus_is_the_same_on_every_run(tmp_path: Path) -> None:
    first, second = (next(c for c in cases(1) if "many bits" in c.title) for _ in range(2))
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert first.title == second.title
    assert first.build(tmp_path / "a").read_bytes() == second.build(tmp_path / "b").read_bytes()

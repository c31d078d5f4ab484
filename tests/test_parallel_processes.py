"""How work is shared out, and what a launcher tells."""

import subprocess
import sys

import pytest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.parallel import Processes, partition


@pytest.mark.parametrize("num", [1, 7, 100, 101, 350, 1000])
@pytest.mark.parametrize("batch_size", [1, 7, 100])
@pytest.mark.parametrize("num_processes", [1, 2, 3, 8, 2000])
def test_shares_are_whole_batches_without_gaps(
    num: int, batch_size: int, num_processes: int
) -> None:
    shares = [partition(num, batch_size, num_processes, k) for k in range(num_processes)]
    assert [k for share in shares for k in share] == list(range(num))
    assert all(share.start % batch_size == 0 for share in shares if share)
    sizes = [-(-len(share) // batch_size) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    # The main process, which puts all together, is never without images.
    assert len(shares[0]) > 0


def test_a_place_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert Processes.launched() == Processes(0, 1, 0)
    for rest in ("LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.setenv(rest, "3")
        assert Processes.launched() == Processes(0, 1, 0)
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert Processes.launched() == Processes(5, 8, 1)
    assert not Processes.launched().is_main
    for size in ("5", "many"):
        monkeypatch.setenv("WORLD_SIZE", size)
        with pytest.raises(GravLensError, match=f"RANK 5, WORLD_SIZE {size}, LOCAL_RANK 1"):
            Processes.launched()


def test_one_process_waits_for_nobody() -> None:
    alone = Processes()
    alone.join()
    assert alone.main_first(lambda: 3) == alone.together(lambda: 3) == alone.broadcast(3) == 3
    assert alone.gather(3) == [3]
    alone.leave()
    code = "import sys, gravlensdiffusion.parallel as p; p.Processes().join(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" not in done.stdout.split()

"""Processes that a launcher started for one command, where each computes, and in how many threads."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Self, TypeVar

from gravlensdiffusion.errors import GravLensError

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")

PATIENCE = timedelta(hours=2)
"""How long a process waits for another: as long as a large set may take to be prepared."""


class OtherFailed(GravLensError):
    """Another process has failed, and says itself why."""


def partition(num: int, batch_size: int, num_processes: int, index: int) -> range:
    """Return the images of one process: whole batches, in order, the same number within one.

    Batches stay those of a single process, so that an image has the same neighbours in its batch.
    There is no gap between one process and the next; a range may be empty.
    """
    num_batches = -(-num // batch_size)
    first, stop = (-(-num_batches * k // num_processes) for k in (index, index + 1))
    return range(min(first * batch_size, num), min(stop * batch_size, num))


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of one command, as one of them sees them.

    Attributes:
        index: Which one this is; 0 is the main one, which writes and speaks.
        num: How many there are, on all machines.
        local_index: Which one this is on its machine.
    """

    index: int = 0
    num: int = 1
    local_index: int = 0

    @classmethod
    def launched(cls) -> Self:
        """Return what the launcher has put into the environment.

        Without both ``RANK`` and ``WORLD_SIZE`` there is none: ``LOCAL_RANK`` alone is a rest of
        something else.

        Raises:
            GravLensError: If that makes no sense.
        """
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        if not (os.environ.get("RANK") and os.environ.get("WORLD_SIZE")):
            return cls()
        texts = [os.environ.get(n) or default for n, default in zip(names, "010", strict=True)]
        try:
            index, num, local_index = map(int, texts)
        except ValueError:
            index, num, local_index = 0, 0, 0
        if not 0 <= index < num or local_index < 0:
            told = ", ".join(f"{n} {t}" for n, t in zip(names, texts, strict=True))
            raise GravLensError(
                f"the launcher has set {told} in the environment: no place for a process"
            )
        return cls(index, num, local_index)

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.index == 0

    def join(self) -> None:
        """Meet the other processes, and take this one's GPU where its machine has any."""
        if self.num == 1:
            return
        import torch

        if torch.cuda.is_available():
            torch.cuda.set_device(self.local_index % torch.cuda.device_count())
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo", timeout=PATIENCE)

    def leave(self) -> None:
        """Part from the other processes, once all is done."""
        if self.num == 1:
            return
        from torch import distributed

        if distributed.is_initialized():
            distributed.destroy_process_group()

    def broadcast(self, value: T) -> T:
        """Return what the main process gives here; all processes must have joined."""
        if self.num == 1:
            return value
        from torch import distributed

        values = [value]
        distributed.broadcast_object_list(values, src=0)
        return values[0]

    def gather(self, value: T) -> list[T]:
        """Return what the processes give here, in their order; on all but the main one nothing."""
        if self.num == 1:
            return [value]
        from torch import distributed

        values: list[T] | None = [value] * self.num if self.is_main else None
        distributed.gather_object(value, values, dst=0)
        return values or []

    def main_first(self, work: Callable[[], T]) -> T:
        """Do something on the main process, and then on the others, which find it done.

        Raises:
            OtherFailed: On the others, where it failed on the main process.
        """
        if self.num == 1:
            return work()
        if not self.is_main:
            if not self.broadcast(False):
                raise OtherFailed("the main process has failed")
            return work()
        has_worked = False
        try:
            done = work()
            has_worked = True
        finally:
            self.broadcast(has_worked)
        return done

    def together(self, work: Callable[[], T]) -> T:
        """Do something on all processes, and go on once it is done on all of them.

        Raises:
            GravLensError: On the main process, with what another one has to say.
            OtherFailed: On the others, where it failed on another one.
        """
        if self.num == 1:
            return work()
        failure: str | None = "stopped"
        try:
            done = work()
            failure = None
        except GravLensError as error:
            failure = str(error)
            if self.is_main:
                raise
        finally:
            failures = self.broadcast(self.gather(failure))
        failed = [k for k, each in enumerate(failures) if each is not None]
        if failed and self.is_main:
            raise GravLensError(f"process {failed[0] + 1} of {self.num}: {failures[failed[0]]}")
        if failed:
            raise OtherFailed("the main process says what has failed")
        return done


ALONE = Processes()
"""This process and no other."""


def find_device(device: object) -> str:
    """Return the device to compute on, as torch calls it.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:1``, as text or torch.device; or ``auto`` for CUDA where there is such. MPS has no
            double precision, in which noise levels are computed.

    Raises:
        GravLensError: If it is not there, or is none of these.
    """
    import torch

    name, has_gpu = str(device), torch.cuda.is_available()
    kind, _, number = name.partition(":")
    if name == "auto":
        return "cuda" if has_gpu else "cpu"
    if re.fullmatch(r"(cpu|cuda)(:[0-9]+)?", name) is None:
        raise GravLensError(f"`device` must be auto, cpu, cuda or cuda:0, got {name!r}")
    if kind == "cuda" and not has_gpu:
        raise GravLensError("no CUDA device here; use `device` cpu or auto")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise GravLensError(f"no {name} here; there are {torch.cuda.device_count()} CUDA devices")
    return name if kind == "cuda" else kind


def build_accelerator(device: str, precision: str, batch_size: int = 0) -> "Accelerator":
    """Return what places tensors and adds up gradients.

    Args:
        device: See `parallel.find_device`.
        precision: ``fp32`` or ``bf16``.
        batch_size: Images per step, of which each process takes the same share.

    Raises:
        GravLensError: If there is no such device, the processes do not find each other, or they
            cannot share a batch equally.
    """
    import torch
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import InitProcessGroupKwargs

    found = find_device(device)
    processes = Processes.launched()
    # Unless told, Accelerate takes each of several processes for one that is alone, and the GPU of a Mac.
    is_on_cpu = found == "cpu"
    if processes.num == 1:
        # Accelerate keeps what an earlier run in this process was given, and refuses anything else.
        AcceleratorState._reset_state(reset_partial_state=True)
    if ":" in found:
        torch.cuda.set_device(found)
    with _left_alone(processes):
        accelerator = Accelerator(
            cpu=is_on_cpu,
            mixed_precision="bf16" if precision == "bf16" else "no",
            kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
        )
    if accelerator.num_processes != processes.num:
        raise GravLensError(
            f"{processes.num} processes were launched and {accelerator.num_processes} train "
            "together; start them with torchrun or `accelerate launch`, all on the same device"
        )
    if batch_size % processes.num:
        raise GravLensError(
            f"batch size {batch_size} does not divide among {processes.num} processes"
        )
    return accelerator


@contextmanager
def _left_alone(processes: Processes) -> Iterator[None]:
    """Hide variables that would change the weights without a word.

    They accumulate gradients, choose another precision or a compiler, or give a process that no
    launcher has started a place among others.
    """
    hidden = [name for name in os.environ if name.startswith("ACCELERATE_")]
    if processes.num == 1:
        hidden += ["RANK", "WORLD_SIZE", "LOCAL_RANK"]
    kept = {name: os.environ.pop(name) for name in hidden if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
"""Threads that wait let others have the core; spinning, they take it from whoever has work."""
NUMBERS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def use_threads(num: int | None) -> None:
    """Settle how this process computes; the environment goes before what is settled here unasked.

    It is for the command line, which calls it before torch is loaded: only then can it say how
    threads wait, and how many there are where nobody has asked for a number.

    Args:
        num: Number of threads; None for as many as there are free cores.
    """
    if "torch" in sys.modules:
        if num is not None:
            sys.modules["torch"].set_num_threads(num)
        return
    for name, value in WAITING.items():
        os.environ.setdefault(name, value)
    if num is None and not any(map(os.environ.get, NUMBERS)):
        num = _num_free_cores()
    if num is not None:
        os.environ.update(dict.fromkeys(NUMBERS, str(num)))


def _num_free_cores() -> int | None:
    """Return how many cores there are to compute on, at least 1; None where all of them are free."""
    import psutil
    from joblib import cpu_count

    own = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    try:
        busy = psutil.cpu_percent(0.2, percpu=True)  # looks at them for as many seconds
    except OSError:  # a system that does not tell
        busy = []
    free = len(own) - sum(busy[core] / 100 for core in own if core < len(busy))
    # It knows of affinity and of the quotas of containers; PyTorch does not know of the latter.
    num = min(cpu_count(), round(free))
    return None if num >= len(own) else max(1, min(num, cpu_count(only_physical_cores=True)))

"""Where training runs: the device, the precision, and the processes that share the work."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.parallel import PATIENCE, Processes, find_device


def build_accelerator(device: str, precision: str) -> Accelerator:
    """Return what places tensors and adds up gradients.

    Args:
        device: See `parallel.find_device`.
        precision: ``fp32`` or ``bf16``.

    Raises:
        GravLensError: If there is no such device, or the processes do not find each other.
    """
    found = find_device(device)
    processes = Processes.launched()
    # Without a GPU, Accelerate takes each of several processes for one that is alone, unless told.
    is_on_cpu = str(device) == "cpu" or (processes.num > 1 and found == "cpu")
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


def refuse_unequal(batch_size: int, accelerator: Accelerator) -> None:
    """Refuse a batch that its processes cannot share equally.

    Raises:
        GravLensError: If they cannot.
    """
    if batch_size % accelerator.num_processes:
        raise GravLensError(
            f"batch size {batch_size} does not divide among {accelerator.num_processes} processes"
        )

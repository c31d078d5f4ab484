"""Work that is sent to a Dask cluster."""

from collections.abc import Iterator
from contextlib import contextmanager

from gravlensdiffusion.errors import GravLensError

PATIENCE_S = 30
"""How long a scheduler, and its first worker, may take to answer [s]."""


@contextmanager
def dask_cluster(address: str) -> Iterator[None]:
    """Let joblib send its work to a Dask cluster.

    A worker that dies costs what it was doing: the scheduler gives that to another one.

    Args:
        address: Address of the scheduler.

    Raises:
        GravLensError: If Dask is not installed, no scheduler answers there, or it has no workers.
    """
    try:
        from distributed import Client
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise GravLensError(
            "--dask needs Dask, which is not installed; pip install 'gravlensdiffusion[cluster]'"
        ) from None
    from joblib import parallel_config

    try:
        client = Client(address, timeout=PATIENCE_S)
    except (OSError, ValueError) as error:
        raise GravLensError(
            f"no Dask scheduler answers at {address}: {_first_line(error)}"
        ) from None
    with client:
        try:
            with parallel_config(backend="dask", wait_for_workers_timeout=PATIENCE_S):
                yield
        except TimeoutError as error:
            raise GravLensError(f"{address}: {_first_line(error)}") from None
        except KilledWorker as error:
            raise GravLensError(
                f"{address}: workers keep dying under the work: {_first_line(error)}"
            ) from None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__

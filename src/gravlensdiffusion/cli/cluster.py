"""Work that is sent to a Dask cluster."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gravlensdiffusion import __version__
from gravlensdiffusion.errors import GravLensError

if TYPE_CHECKING:
    from joblib._dask import DaskDistributedBackend

PATIENCE_S = 30
"""How long a scheduler, and its first worker, may take to answer [s]."""


@contextmanager
def dask_cluster(address: str) -> Iterator[None]:
    """Let joblib send its work to a Dask cluster.

    A worker that dies costs what it was doing: the scheduler gives that to another one.

    Args:
        address: Address of the scheduler.

    Raises:
        GravLensError: If Dask is not installed, no scheduler answers there, it has no workers, or
            they cannot do the work.
    """
    try:
        from distributed import Client
    except ImportError:
        raise GravLensError(
            "`dask` needs Dask, which is not installed; pip install 'gravlensdiffusion[cluster]'"
        ) from None
    from joblib import parallel_config

    try:
        client = Client(address, timeout=PATIENCE_S)
    except (OSError, ValueError) as error:
        raise GravLensError(
            f"no Dask scheduler answers at {address}: {_first_line(error)}"
        ) from None
    with client:
        _check_workers(client, address)
        try:
            with parallel_config(backend=_backend(client, address)):
                yield
        except TimeoutError as error:
            raise GravLensError(f"{address}: {_first_line(error)}") from None


def _check_workers(client: Any, address: str) -> None:
    """Refuse workers without this package, which would die of their first work one by one."""

    def version() -> str:
        import gravlensdiffusion

        return gravlensdiffusion.__version__

    try:
        found = set(client.run(version).values()) - {__version__}
    except ImportError as error:
        raise GravLensError(
            f"{address}: a worker cannot import this package: {_first_line(error)}"
        ) from None
    if found:
        raise GravLensError(
            f"{address}: a worker has version {found.pop()} of this package, not {__version__}"
        )


def _backend(client: Any, address: str) -> "DaskDistributedBackend":
    """Return joblib's Dask backend, which here tells of work that Dask has given up."""
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):  # type: ignore[misc]
        def submit(self, func: Any, callback: Callable[[Any], object] | None = None) -> Any:
            future = super().submit(func, callback)

            # Work that cannot be sent, or whose workers have died, ends without the callback, and
            # joblib would wait for it for ever.
            def tell(done: Future[Any]) -> None:
                error = done.exception()
                if error is not None and callback is not None:
                    callback(error)

            future.add_done_callback(tell)
            return future

        def retrieve_result_callback(self, out: Any) -> Any:
            if isinstance(out, BaseException):
                raise GravLensError(
                    f"{address}: a worker cannot do the work: {_first_line(out)}"
                ) from None
            return super().retrieve_result_callback(out)

    return Backend(client=client, wait_for_workers_timeout=PATIENCE_S)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__

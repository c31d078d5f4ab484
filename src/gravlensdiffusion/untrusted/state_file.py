"""Files that torch.save wrote, read without running code and within bounds of memory.

PyTorch's own reader refuses code (``weights_only``), yet does what a file asks for in memory: a
pickle of fifty bytes can ask for a hundred gigabytes. Here the instructions of the pickle are
looked through first, and sizes are held against that of the file.
"""

import io
import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from gravlensdiffusion.errors import BadImageError, GravLensError
from gravlensdiffusion.files import check_regular

MAX_BYTES = 2**29
"""Size of a file of weights that is read; the largest known here has 96 MB."""
MAX_SCRIPT_BYTES = 2**24
"""Size of the pickle within it that names and shapes the tensors."""
MAX_INSTRUCTIONS = 10**6
_ZIP = b"PK\x03\x04"
_CODE = "holds Python objects or code besides weights, which is refused"
_KINDS = "Float Half BFloat16 Double Long Int Short Char Byte Bool"
_NAMES = frozenset(
    [
        "collections OrderedDict",
        "torch Size",
        "torch._utils _rebuild_tensor",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "torch.nn.parameter Parameter",
        "torch.serialization _get_layout",
        "torch device",
        *(f"torch {kind}Storage" for kind in _KINDS.split()),
        *(f"torch.storage {kind}" for kind in ("UntypedStorage", "TypedStorage")),
    ]
)
"""What the pickle of a state of tensors and numbers may name."""


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read a bare state dict of tensors; no code in the file is ever run.

    Raises:
        GravLensError: If it cannot be read, is too large, or holds anything else.
    """
    state = read_state(path, "file of weights", max_bytes=MAX_BYTES)
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise GravLensError(f"{path}: not a bare state dict of tensors")
    if not all(isinstance(name, str) for name in state):
        raise GravLensError(f"{path}: not a state dict: its tensors have no names")
    return dict(state)


def read_weights(
    path: str | Path,
    expected: Mapping[str, Tensor],
    network: str,
    *,
    unused: Collection[str] = (),
) -> dict[str, Tensor]:
    """Read the weights of one network; no code in the file is ever run.

    Args:
        path: A file that torch.save wrote.
        expected: The network's own state, whose names and shapes count.
        network: What it is called, for messages.
        unused: Entries that the file may have besides, and that are left out.

    Raises:
        GravLensError: If it cannot be read or does not hold exactly these weights.
    """
    zeros = counters(expected)
    state = read_state_dict(path)
    state = {name: tensor for name, tensor in state.items() if name not in unused} | zeros
    missing = [name for name in expected if name not in state]
    unknown = [name for name in state if name not in expected]
    if missing or unknown:
        names = f"'{missing[0]}' is missing" if missing else f"'{unknown[0]}' is not part of it"
        raise GravLensError(f"{path}: not the weights of {network}: {names}")
    for name, tensor in expected.items():
        if state[name].shape != tensor.shape or (
            name not in zeros and not state[name].is_floating_point()
        ):
            raise GravLensError(
                f"{path}: '{name}' is {state[name].dtype} {tuple(state[name].shape)}, "
                f"expected floating point {tuple(tensor.shape)}"
            )
        if not state[name].isfinite().all():
            raise GravLensError(f"{path}: '{name}' holds values that are not finite")
    return state


def counters(expected: Iterable[str]) -> dict[str, Tensor]:
    """Return numbers of training batches, which play no part and which old files do not have."""
    names = [name for name in expected if name.endswith(".num_batches_tracked")]
    return {name: torch.zeros((), dtype=torch.int64) for name in names}


def read_state(path: str | Path, what: str, *, max_bytes: int | None = None) -> Any:
    """Read nested tensors and numbers, which messages call ``what``, of a file by torch.save of up to ``max_bytes``.

    Raises:
        GravLensError: If it cannot be read.
    """
    path = Path(path)
    try:
        check_regular(path)
        size = path.stat().st_size
        if max_bytes is not None and size > max_bytes:
            raise GravLensError(f"{path}: has {size} bytes, more than the limit of {max_bytes}")
        _look_through(path, size)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the reader's remarks on foreign pickles
            return torch.load(path, map_location="cpu", weights_only=True)
    except GravLensError:
        raise
    except OSError as error:
        raise GravLensError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Exception as error:  # noqa: BLE001 - a damaged pickle can raise anything
        reason = str(error) if isinstance(error, BadImageError) else f"not a readable {what}"
        if isinstance(error, pickle.UnpicklingError) and "Unsupported operand" not in str(error):
            reason = _CODE
        raise GravLensError(f"{path}: {reason}; expected a state dict by torch.save") from None


def _look_through(path: Path, size: int) -> None:
    """Refuse a file by its sizes and the instructions of its pickles, before any of them is run."""
    with path.open("rb") as stream:
        if stream.read(len(_ZIP)) != _ZIP:
            stream.seek(0)
            start = io.BytesIO(stream.read(MAX_SCRIPT_BYTES))
            # Magic number, version, facts on the machine, the state, names of the storages.
            for _ in range(5):
                _check_script(start)
            return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise BadImageError("has packed members, which torch.save does not write")
        if sum(member.file_size for member in members) > size:
            raise BadImageError("has members that are larger than the file")
        for member in members:
            if member.filename.endswith("/data.pkl"):
                _check_script(io.BytesIO(archive.read(member)[:MAX_SCRIPT_BYTES]))


def _check_script(stream: IO[bytes]) -> None:
    """Look through one pickle and leave the stream behind it."""
    for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if number > MAX_INSTRUCTIONS:
            raise BadImageError("has a pickle of too many instructions")
        # Names that a pickle puts together at run time belong to no state of tensors.
        is_unknown = opcode.name == "GLOBAL" and argument not in _NAMES
        if is_unknown or opcode.name in ("STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4"):
            raise BadImageError(_CODE)

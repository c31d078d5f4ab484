"""The door to files that are not trusted: docs/security.md says what is promised.

Readers ask here how much a file may take, what an `.npy` file holds, and whether a process of its own
survives a file. Files of PyTorch have a door of their own, `state_file`, which loads that.
"""

from gravlensdiffusion.untrusted.npy import (
    MAX_OBJECT_BYTES,
    NpyHeader,
    read_header,
    read_object_array,
)
from gravlensdiffusion.untrusted.probe import (
    MAX_UNPACKING,
    SMALL_BYTES,
    check_unpacked,
    held_bytes,
    probe_file,
    probe_files,
    readable,
    refuse_bad,
    release,
    trust_file,
)

__all__ = [
    "MAX_OBJECT_BYTES",
    "MAX_UNPACKING",
    "SMALL_BYTES",
    "NpyHeader",
    "check_unpacked",
    "held_bytes",
    "probe_file",
    "probe_files",
    "read_header",
    "read_object_array",
    "readable",
    "refuse_bad",
    "release",
    "trust_file",
]

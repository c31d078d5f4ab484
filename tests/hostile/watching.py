"""What Python does while a file is read, and must not: start programs, connect, write elsewhere.

Libraries in C can write past this; for those, the folders are compared before and after.
"""

import os
import sys
from pathlib import Path

STARTING = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn", "os.startfile")
CONNECTING = ("socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.Request")
CHANGING = (
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.chmod",
    "os.truncate",
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Watch:
    """Keeps what was done since it was last asked.

    Args:
        allowed: The folder in which files may be written.
    """

    def __init__(self, allowed: Path) -> None:
        self.allowed = str(allowed.resolve())
        self._deeds: list[str] = []
        sys.addaudithook(self._note)

    def take(self) -> list[str]:
        """Return what was done, and forget it."""
        deeds, self._deeds = self._deeds, []
        return deeds

    def _note(self, event: str, arguments: tuple[object, ...]) -> None:
        if event in STARTING or event in CONNECTING:
            self._deeds.append(f"{event} {arguments!r:.200}")
        elif event == "open":
            path, _, flags = arguments
            # Python keeps what it has compiled.
            if "__pycache__" in str(path):
                return
            if isinstance(flags, int) and flags & _WRITING and self._is_elsewhere(path):
                self._deeds.append(f"opens {path!r:.200} for writing")
        elif (
            "__pycache__" not in str(arguments)
            and event in CHANGING
            and any(map(self._is_elsewhere, arguments[:2]))
        ):
            self._deeds.append(f"{event} {arguments!r:.200}")

    def _is_elsewhere(self, path: object) -> bool:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return False
        place = os.path.realpath(os.fsdecode(path))
        return place != os.devnull and os.path.commonpath([self.allowed, place]) != self.allowed

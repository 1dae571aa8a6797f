"""What runs on a device to take in a file: for any ``sh`` with the usual tools."""

from __future__ import annotations

import secrets
import shlex
from pathlib import Path

#: Exit statuses: the content arrived otherwise than it was sent; another command is sending it just now.
DAMAGED, BUSY = 90, 91

_DIGEST = "digest() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c1-64; }"


class Put:
    """The commands for one content.

    What has arrived stays in a ``.part`` that is named by the content, so that the next command can go on with it. Who
    appends to it holds a lock, where the device has ``flock``; who finds it held sends into a file of its own.
    """

    def __init__(self, remote: str, size: int, sha256: str) -> None:
        """Args:
        remote: where the file goes.
        size, sha256: of the whole.
        """
        self._size, self._sha256 = size, sha256
        self._folder, self._target = shlex.quote(str(Path(remote).parent)), shlex.quote(remote)
        self._part = shlex.quote(f"{remote}.{sha256[:16]}.part")
        self._own = shlex.quote(f"{remote}.{secrets.token_hex(4)}.part")

    @property
    def look(self) -> str:
        """Says ``whole``, or how many bytes have arrived."""
        return (
            f"{_DIGEST}; mkdir -p {self._folder} || exit 1; "
            f'if [ -f {self._target} ] && [ "$(digest < {self._target})" = {self._sha256} ]; then echo whole; '
            f"elif [ -f {self._part} ]; then wc -c < {self._part}; else echo 0; fi"
        )

    def append(self, start: int) -> str:
        """Takes what comes after the first ``start`` bytes, and moves the whole into place."""
        here = f"exec 9>> {self._folder}/sending; if command -v flock >/dev/null; then flock -n 9 || exit {BUSY}; fi"
        begin = f"[ {_size(self._part)} = {start} ] || exit {BUSY}" if start else f": > {self._part} || exit 1"
        return f"{here}; {begin}; {self._take(self._part, broken='exit 1')}"

    def append_alone(self) -> str:
        """Takes the whole into a file of its own, and moves it into place. What breaks off is removed."""
        return self._take(self._own, broken=f"rm {self._own}; exit 1")

    def _take(self, part: str, *, broken: str) -> str:
        return (
            f"{_DIGEST}; if ! cat >> {part}; then rm -f {part}; exit 1; fi; "  # a full disk is not left full
            f"if [ {_size(part)} -lt {self._size} ]; then {broken}; fi; "
            f'if [ "$(digest < {part})" != {self._sha256} ]; then rm {part}; exit {DAMAGED}; fi; '
            f"mv {part} {self._target}"
        )


def _size(path: str) -> str:
    """The bytes of a file, or 0: `wc` pads the number on some systems."""
    return f'"$(($(wc -c 2>/dev/null < {path} || echo 0)))"'

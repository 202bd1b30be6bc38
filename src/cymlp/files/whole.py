"""Writing a file whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Any

from ..checks import shown

__all__ = ["checked_path", "write_whole"]


def checked_path(path: Any) -> str:
    try:
        return os.fsdecode(path)
    except TypeError:
        raise TypeError(f"path: expected a file name, got {shown(path)}") from None


def write_whole(path: str, write: Any) -> None:
    """Writes beside the target, then renames: as ``open`` would, through a symbolic link and
    with the mode of the file that is replaced or else the usual one."""
    target = os.path.realpath(path)
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):
        raise ValueError(f"path: expected a file, but {path} is a folder or a device")
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):  # else the error would name the temporary file
        raise FileNotFoundError(errno.ENOENT, "No such folder", folder)
    temporary = os.path.join(folder, f".cymlp-{os.urandom(8).hex()}.tmp")
    # Opened here and not by tempfile, whose files are for their owner alone.
    file = open(temporary, "xb")
    try:
        with file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, stat.S_IMODE(mode))
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    """Brings the new name to the disk too, where the system can do that for a folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)

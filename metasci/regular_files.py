"""Regular files, of up to a size: no device, no pipe, nothing that never ends."""

from __future__ import annotations

import stat
from pathlib import Path

from metasci.errors import InputError

__all__ = ["MOST_BYTES", "bytes_of"]

MOST_BYTES = 256 * 2**20
"""More text than this would take several gigabytes as cells."""


def bytes_of(path: str | Path, most: int = MOST_BYTES) -> bytes:
    """What is in a regular file of up to so many bytes.

    Raises
    ------
    InputError
        Also for a device or a pipe, which might never end.
    """
    try:
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"'{path}' is a folder, not a file.")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"'{path}' is no regular file; give one with the data.")
        if status.st_size > most:
            raise InputError(
                f"'{path}' has {status.st_size / 1e6:.0f} MB; such files of up to {most / 1e6:.0f} MB are read."
            )
        with Path(path).open("rb") as file:
            return file.read(most)
    except FileNotFoundError:
        raise InputError(f"there is no file '{path}'.") from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError("the name of the file holds a character that no file's name can hold.") from None
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from None

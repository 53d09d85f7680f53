"""Regular files, of up to a size: no device, no pipe, nothing that never ends."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from metasci.errors import InputError

__all__ = ["MOST_BYTES", "book_and_sheet", "bytes_of", "title_of"]

MOST_BYTES = 256 * 2**20
"""More text than this would take several gigabytes as cells."""


_SHEET = re.compile(r"(.+\.xls[xm])#(.+)", re.IGNORECASE | re.DOTALL)


def book_and_sheet(path: str | Path) -> tuple[Path, str]:
    """The file of a path, and the sheet of a workbook that ``book.xlsx#sheet`` names; else an empty text.

    Examples
    --------
    >>> book_and_sheet("tests.xlsx#Series 2")[1], book_and_sheet("tests#2.csv")[1]
    ('Series 2', '')
    """
    matched = _SHEET.fullmatch(str(path))
    return (Path(matched[1]), matched[2]) if matched else (Path(path), "")


def title_of(path: str | Path) -> str:
    """What a file is called without its ending; of a sheet that is named, the sheet, too.

    Examples
    --------
    >>> title_of("bench/steel.csv"), title_of("tests.xlsx"), title_of("tests.xlsx#Series 2.1")
    ('steel', 'tests', 'tests#Series 2.1')
    """
    file, sheet = book_and_sheet(path)
    return f"{file.stem}#{sheet}" if sheet else file.stem


def bytes_of(path: str | Path, most: int = MOST_BYTES) -> bytes:
    """What is in a regular file of up to so many bytes; of a workbook's sheet, the workbook.

    Raises
    ------
    InputError
        Also for a device or a pipe, which might never end.
    """
    file = book_and_sheet(path)[0]
    try:
        status = file.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"'{file}' is a folder, not a file.")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"'{file}' is no regular file; give one with the data.")
        if status.st_size > most:
            raise InputError(
                f"'{path}' has {status.st_size / 1e6:.0f} MB; such files of up to {most / 1e6:.0f} MB are read."
            )
        with file.open("rb") as opened:
            return opened.read(most)
    except FileNotFoundError:
        raise InputError(f"there is no file '{file}'.") from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError("the name of the file holds a character that no file's name can hold.") from None
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from None

"""The command line: ``metasci --help`` lists what it can be asked.

Modules hold the commands by what is asked: `look` (what ships), `calibrations` (one new task), `learning` (many tasks).
"""

from metasci.cli.main import app, main

__all__ = ["app", "main"]

"""``metasci``, the program, and ``python -m metasci``."""

import shutil
import sys
from pathlib import Path

__all__ = ["main"]

_HELP = Path(__file__).parent / "cli" / "help.txt"
_COLUMNS = 80  # of the stored text, which a narrower terminal would break in the middle of words


def main() -> None:
    """Run the command line; its overview is at hand as text: to build all commands takes longer."""
    if sys.argv[1:] in (["-h"], ["--help"]) and shutil.get_terminal_size().columns >= _COLUMNS:
        print(_HELP.read_text(encoding="utf-8"), end="")
        return
    try:
        from metasci.process import rarely_collected

        rarely_collected()
        from metasci.cli import main as command_line
    except KeyboardInterrupt:  # before there are commands that could say so
        print("metasci: interrupted.", file=sys.stderr)
        raise SystemExit(130) from None
    command_line()


if __name__ == "__main__":
    main()

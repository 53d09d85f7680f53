"""``python -m metasci``."""

from metasci.cli import main

main()

"""What GFN2-xTB says of the molecules of `boiling_points`. ``python benchmarks/solvation_energies.py``.

Writes the table in which `metasci.materials.solvation` looks them up; ten minutes of one core. Goes on where it
stopped.
"""

from __future__ import annotations

import torch

import metasci as ms
from metasci.errors import InputError
from metasci.files import write_atomically
from metasci.materials.solvation import KNOWN, UNITS, Solvation, computed, known, row_of

_EVERY = 200  # molecules between two writes


def written(table: dict[str, Solvation]) -> None:
    """Write the table, sorted."""
    rows = [row_of(text, numbers) for text, numbers in sorted(table.items())]
    write_atomically(KNOWN, ("\n".join([",".join(["smiles", *UNITS]), *rows]) + "\n").encode())


def main() -> None:
    """Compute what is lacking."""
    torch.set_num_threads(1)
    table = dict(known())
    texts = [str(text) for text in ms.dataset("boiling_points").to_frame()["molecule"]]
    for done, text in enumerate(text for text in texts if text not in table):
        try:
            table[text] = computed(text)
        except InputError as error:
            print(f"left out: {error}", flush=True)
        if done % _EVERY == 0:
            written(table)
            print(f"{len(table)} of {len(texts)}", flush=True)
    written(table)
    print(f"{len(table)} of {len(texts)}")


if __name__ == "__main__":
    main()

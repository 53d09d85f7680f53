"""Draw the figure of `studies/boiling-points.md` from what `metasci evaluate … --json` printed.

metasci evaluate boiling_point boiling_points --leave-out family --folds 10 --shots 0,1,3,5,10 --json > table.json
python docs/make_materials_pictures.py table.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd

from metasci.studies.families import figure, shown

if __name__ == "__main__":
    result = json.loads(Path(sys.argv[1]).read_text())
    table = pd.DataFrame(result["results"]).astype({"mae_sd_over_seeds": float})
    print(shown(table))
    drawing = figure({"Boiling points, families left out": (table, result["unit"])})
    drawing.set_size_inches(6.2, 4.2)
    drawing.savefig(Path(__file__).parent / "images" / "studies" / "boiling-points.png", dpi=150)

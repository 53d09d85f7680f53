"""What all tests share: threads, hypothesis, and data that may be missing."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import hypothesis
import pytest
import torch

# Run by Flower, in an environment of its own.
collect_ignore = ["flower_app"]

# The tests run in several processes; more threads than cores make all of them slower.
torch.set_num_threads(1)

# The same examples on every machine, however slow it is.
hypothesis.settings.register_profile("metasci", deadline=None, derandomize=True, max_examples=30)
hypothesis.settings.load_profile("metasci")


def missing_data(name: str) -> str | None:
    """Say why the data set `name`, which does not ship, cannot be used; None if it can."""
    folder = os.environ.get("METASCI_DATA_DIR")
    if not folder:
        return f"needs the data set '{name}': METASCI_DATA_DIR is not set"
    if not (Path(folder) / name).is_dir():
        return f"needs the data set '{name}': METASCI_DATA_DIR has no such folder"
    return None


_EXTRA = ("ase", "chemicals", "rdkit", "sklearn", "torch_geometric")
_OF_EXTRA = ("metasci.materials.", "metasci.learned.families", "metasci.fits.families", "metasci.priors.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with a reason that names what is missing: data of `needs_data("name")`, libraries of doctests."""
    missing = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    for item in items:
        if missing and isinstance(item, pytest.DoctestItem) and item.name.startswith(_OF_EXTRA):
            reason = f"needs the extra metasci-calibration[materials]: {', '.join(missing)}"
            item.add_marker(pytest.mark.skip(reason=reason))
        for marker in item.iter_markers("needs_data"):
            if reason := missing_data(*marker.args):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def root() -> Path:
    """Folder of the checkout."""
    return Path(__file__).resolve().parent.parent

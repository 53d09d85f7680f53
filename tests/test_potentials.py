"""A potential's frequency as an input of the prior of crystals: looked up, told in a table, or asked for."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import metasci as ms
from metasci import extras
from metasci.data.simulators import simulator_named
from metasci.errors import InputError
from metasci.materials import potentials
from metasci.materials.potentials import fingerprint, known_frequencies

pytest.importorskip("ase", reason="needs the extra metasci-calibration[materials]: ase")


def rock_salt(metal: str, anion: str, edge: float) -> str:
    """The primitive cell of a crystal of rock salt, as pymatgen's dictionary."""
    half = edge / 2.0
    return json.dumps(
        {
            "lattice": {"matrix": [[0.0, half, half], [half, 0.0, half], [half, half, 0.0]]},
            "sites": [
                {"species": [{"element": metal, "occu": 1}], "abc": [0.0, 0.0, 0.0]},
                {"species": [{"element": anion, "occu": 1}], "abc": [0.5, 0.5, 0.5]},
            ],
        }
    )


# edges (ångström) of the crystals, by X-ray diffraction
FLUORIDES = [rock_salt("Li", "F", 4.03), rock_salt("Na", "F", 4.63), rock_salt("K", "F", 5.35)]


def test_the_table_that_ships_holds_positive_frequencies_by_fingerprint() -> None:
    known = known_frequencies()
    assert len(known) == 1265
    assert all(len(key) == 16 for key in known)
    assert 10.0 < min(known.values()) < max(known.values()) < 5000.0


def test_a_known_crystal_is_looked_up_and_another_asks_for_the_potential(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(potentials, "known_frequencies", lambda: {fingerprint(FLUORIDES[0]): 512.0})
    frequency = simulator_named("chgnet_frequency").values
    assert frequency([FLUORIDES[0]]).tolist() == [512.0]

    def absent(module: str, extra: str, purpose: str) -> None:
        raise extras.missing(module.partition(".")[0], extra, purpose)

    monkeypatch.setattr(potentials, "needed", absent)
    potentials.computed_frequency.cache_clear()
    potentials._potential.cache_clear()
    with pytest.raises(InputError, match=r"metasci-calibration\[potential\]"):
        frequency([FLUORIDES[1]])


def test_a_crystal_is_told_by_its_cell_elements_and_places() -> None:
    assert fingerprint(FLUORIDES[0]) == fingerprint(FLUORIDES[0].replace("0.5,", "0.50000001,"))
    others = [rock_salt("Li", "F", 4.04), rock_salt("Li", "Cl", 4.03), rock_salt("F", "Li", 4.03)]
    assert fingerprint(FLUORIDES[0]) not in [fingerprint(other) for other in others]


def test_the_prior_of_phonon_peaks_takes_frequencies_of_the_table_and_listens_to_members() -> None:
    prior = ms.load("phonon_peak")
    names = ["crystal", "chgnet_frequency [1/cm]", "phonon_peak [1/cm]"]

    def calibrated(factor: float, last: float = 190.0) -> pd.Series:
        rows = zip(FLUORIDES, [400.0, 250.0, last], [factor * 600.0, factor * 400.0, None], strict=True)
        fit = prior.calibrate(pd.DataFrame(rows, columns=names))
        assert fit.batch.names == ("F",)
        return fit.predictions.iloc[2]

    softer, stiffer = calibrated(0.9), calibrated(1.1)
    assert softer["prior"] == stiffer["prior"]
    assert softer["predicted"] < stiffer["predicted"]
    assert softer["upper"] - softer["lower"] < softer["prior_upper"] - softer["prior_lower"]
    assert calibrated(0.9, last=285.0)["predicted"] > softer["predicted"]


def test_chgnet_has_rock_salt_vibrate() -> None:
    pytest.importorskip("chgnet", reason="needs the extra metasci-calibration[potential]: chgnet")
    potentials.computed_frequency.cache_clear()
    potentials._potential.cache_clear()
    assert (
        200.0 < potentials.computed_frequency(FLUORIDES[0]) < 700.0
    )  # LiF: 306 (transverse) to 659 (longitudinal)

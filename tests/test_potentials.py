"""What potentials say of a crystal as inputs of its prior: looked up, told in a table, or asked for."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import metasci as ms
from metasci import extras
from metasci.data.simulators import simulator_named
from metasci.errors import InputError
from metasci.materials import chgnet, phonons, sevennet
from metasci.materials.crystals import fingerprint
from metasci.materials.phonons import Phonons

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


def test_the_tables_that_ship_hold_positive_frequencies_by_fingerprint() -> None:
    frequencies, spectra = chgnet.known_frequencies(), sevennet.known()
    assert len(frequencies) == len(spectra) == 1265
    assert set(frequencies) == set(spectra)
    assert all(len(key) == 16 for key in spectra)
    assert 10.0 < min(frequencies.values()) < max(frequencies.values()) < 5000.0
    assert all(10.0 < each.last_peak <= each.highest < 5000.0 for each in spectra.values())


def absent(module: str, extra: str, purpose: str) -> None:
    raise extras.missing(module.partition(".")[0], extra, purpose)


def test_a_known_crystal_is_looked_up_and_another_asks_for_the_potential(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = fingerprint(FLUORIDES[0])
    monkeypatch.setattr(chgnet, "known_frequencies", lambda: {first: 512.0})
    monkeypatch.setattr(sevennet, "known", lambda: {first: Phonons(480.0, 530.0)})
    said = {"chgnet_frequency": 512.0, "sevennet_last_peak": 480.0, "sevennet_highest": 530.0}
    for name, value in said.items():
        assert simulator_named(name).values([FLUORIDES[0]]).tolist() == [value]
    for module in (chgnet, phonons, sevennet):
        monkeypatch.setattr(module, "needed", absent)
    for cached in (chgnet.computed_frequency, chgnet._potential, sevennet.computed, sevennet._potential):
        cached.cache_clear()
    for name in said:
        with pytest.raises(InputError, match=r"metasci-calibration\[potential\]"):
            simulator_named(name).values([FLUORIDES[1]])


def test_a_crystal_is_told_by_its_cell_elements_and_places() -> None:
    assert fingerprint(FLUORIDES[0]) == fingerprint(FLUORIDES[0].replace("0.5,", "0.50000001,"))
    others = [rock_salt("Li", "F", 4.04), rock_salt("Li", "Cl", 4.03), rock_salt("F", "Li", 4.03)]
    assert fingerprint(FLUORIDES[0]) not in [fingerprint(other) for other in others]


def test_the_prior_of_phonon_peaks_takes_what_the_table_says_and_listens_to_members() -> None:
    prior = ms.load("phonon_peak")
    names = ["crystal", "sevennet_last_peak [1/cm]", "sevennet_highest [1/cm]", "phonon_peak [1/cm]"]

    def calibrated(factor: float, last: float = 190.0) -> pd.Series:
        peaks, measured = [400.0, 250.0, last], [factor * 480.0, factor * 300.0, None]
        rows = zip(FLUORIDES, peaks, [1.05 * each for each in peaks], measured, strict=True)
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
    chgnet.computed_frequency.cache_clear()
    chgnet._potential.cache_clear()
    assert (
        200.0 < chgnet.computed_frequency(FLUORIDES[0]) < 700.0
    )  # LiF: 306 (transverse) to 659 (longitudinal)


def test_sevennet_has_rock_salt_vibrate() -> None:
    for library in ("phonopy", "sevenn"):
        pytest.importorskip(library, reason=f"needs the extra metasci-calibration[potential]: {library}")
    sevennet.computed.cache_clear()
    sevennet._potential.cache_clear()
    said = sevennet.computed(FLUORIDES[0])
    assert 400.0 < said.last_peak <= said.highest < 700.0

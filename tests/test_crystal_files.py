"""CIF files as their readers have them: what is left open or contradicts itself is refused, what is said is kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from metasci.errors import InputError
from metasci.materials.crystals import atoms_of, features, fingerprint, makeup, primitive
from metasci.materials.structures import canonical

pytest.importorskip("ase", reason="needs the extra metasci-calibration[materials]: ase")
pytest.importorskip("spglib", reason="needs the extra metasci-calibration[materials]: spglib")

SALT = "Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5"
CUBE = (90.0, 90.0, 90.0)
INVERTED = "loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n'-x,-y,-z'\n"
OCCUPIED = "_atom_site_occupancy\n"


def cif(
    sites: str,
    edges: tuple[float, ...] = (5.64, 5.64, 5.64),
    angles: tuple[float, ...] = CUBE,
    group: str = "F m -3 m",
    more: str = "",
    column: str = "",
) -> str:
    """A CIF file of those sites."""
    cell = [f"_cell_length_{name} {edge}" for name, edge in zip("abc", edges, strict=True)]
    cell += [
        f"_cell_angle_{name} {one}" for name, one in zip(("alpha", "beta", "gamma"), angles, strict=True)
    ]
    named = f"_symmetry_space_group_name_H-M '{group}'\n" if group else ""
    head = "loop_\n_atom_site_label\n_atom_site_type_symbol\n" + "".join(
        f"_atom_site_fract_{axis}\n" for axis in "xyz"
    )
    return "data_one\n" + "\n".join(cell) + f"\n{named}{more}{head}{column}{sites}\n"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (cif(SALT.upper()), "site NA1 is of 'NA', which is no element"),
        (cif(SALT.lower()), "site na1 is of 'na', which is no element"),
        (cif(SALT + "\nK1 K 0 0 0"), "K and Na lie at one place"),
        (cif("Na1 Na 0 0 0 1\nCl1 Cl 0.5 0.5 0.5 1\nK1 K 0.5 0.5 0 1", column=OCCUPIED), "lie at one place"),
        (
            cif(SALT, edges=(3.8, 3.8, 6.2), angles=(90.0, 90.0, 120.0)),
            "does not have the symmetry of the space",
        ),
        (cif(SALT, edges=(5.6, 6.2, 7.1), group="", more=INVERTED.replace("-x,-y", "y,x")), "that it lists"),
        (cif(SALT, more="_symmetry_Int_Tables_number 1\n"), "'F m -3 m' does not have the number 1"),
        (cif(SALT, group="F x y z"), "no space group in a standard setting; list its symmetry operations"),
        (cif(SALT, group=""), "says no space group"),
        (cif("Si1 Si 0.125 0.125 0.125", group="F d -3 m"), "has two origins; list its symmetry operations"),
        (cif(SALT, more="_chemical_formula_sum 'K Br'\n"), "sites are Cl4Na4, but its formula is 'K Br'"),
        (
            cif(SALT, group="P 1", more="_chemical_formula_sum 'Cl Na'\n_cell_formula_units_Z 4\n"),
            "but its formula is 'Cl Na', 4 times in a cell",
        ),
        (cif(SALT, more="_cell_formula_units_Z 0\n_chemical_formula_sum 'Cl Na'\n"), "0 times in a cell"),
        (cif(SALT, edges=(-5.64, 5.64, 5.64), group="P 1"), "_cell_length_a is '-5.64', which no cell has"),
        (
            cif(SALT, angles=(90.0, 90.0, 200.0), group="P 1"),
            "_cell_angle_gamma is '200.0', which no cell has",
        ),
        (cif("Na1 Na 0 0 0\nCl1 Cl ? 0.5 0.5"), "the place of site Cl1 is '\\?', not a number"),
        (cif("Na1 Na 0 0 0\nCl1 Cl 0.5 1/2 0.5"), "the place of site Cl1 is '1/2', not a number"),
        (cif("Na1 Na 0 0 0\nNa2 Na 0.06 0 0", group="P 1"), "0.34 ångström apart; check its space group"),
        ("NaCl\n1.0\n5.64 0 0\n", "not a CIF file that can be read \\(AssertionError\\)"),
        ("", "no block"),
    ],
)
def test_what_a_file_leaves_open_or_contradicts_is_refused(text: str, wrong: str, tmp_path: Path) -> None:
    (tmp_path / "one.cif").write_text(text)
    with pytest.raises(InputError, match=wrong):
        canonical("crystal", str(tmp_path / "one.cif"))


@pytest.mark.parametrize(
    ("text", "volume"),  # of an atom (cubic ångström), from the edges by X-ray diffraction
    [
        (cif("Si1 Si 0 0 0", edges=(5.431,) * 3, group="F d -3 m:1"), 5.431**3 / 8.0),
        (cif("Si1 Si 0.125 0.125 0.125", edges=(5.431,) * 3, group="F d -3 m :2"), 5.431**3 / 8.0),
        (
            cif(
                "As1 As 0.227 0.227 0.227",
                (4.13,) * 3,
                (54.1,) * 3,
                "R -3 m",
                "_symmetry_cell_setting trigonal\n",
            ),
            21.6,
        ),
        (
            cif(
                "As1 As 0 0 0.227",
                (3.76, 3.76, 10.55),
                (90.0, 90.0, 120.0),
                "R -3 m",
                "_symmetry_cell_setting trigonal\n",
            ),
            21.6,
        ),
        (cif(SALT, more="_symmetry_Int_Tables_number ?\n_chemical_formula_sum 'Cl4 Na4'\n"), 5.64**3 / 8.0),
        ("\ufeff" + cif(SALT), 5.64**3 / 8.0),
    ],
)
def test_a_space_group_multiplies_its_sites_as_its_cell_has_it(
    text: str, volume: float, tmp_path: Path
) -> None:
    (tmp_path / "one.cif").write_text(text, encoding="utf-8")
    atoms = atoms_of(tmp_path / "one.cif")
    assert atoms.get_volume() / len(atoms) == pytest.approx(volume, rel=0.01)
    assert len(primitive(atoms)) == 2


def test_operations_that_a_file_lists_need_no_name_of_a_group(tmp_path: Path) -> None:
    for group in ("", "F d -3 m Z", "P -1"):
        (tmp_path / "one.cif").write_text(cif("Si1 Si 0.125 0.125 0.125", group=group, more=INVERTED))
        places = atoms_of(tmp_path / "one.cif").get_scaled_positions()
        np.testing.assert_allclose(places, [[0.125] * 3, [0.875] * 3])


def test_deuterium_keeps_its_mass_in_every_cell(tmp_path: Path) -> None:
    texts = {}
    for name in ("H", "D"):
        for group, sites in (("F m -3 m", SALT), ("P 1", "Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5")):
            edges, angles = ((4.08,) * 3, CUBE) if group != "P 1" else ((4.08 / 2**0.5,) * 3, (60.0,) * 3)
            path = tmp_path / f"{name} {group}.cif"
            path.write_text(cif(sites.replace("Na", "Li").replace("Cl", name), edges, angles, group))
            texts[name, group] = str(path)
    for group in ("F m -3 m", "P 1"):
        light, heavy = (primitive(atoms_of(texts[name, group])) for name in ("H", "D"))
        assert len(heavy) == 2
        assert heavy.get_masses().sum() - light.get_masses().sum() == pytest.approx(1.006, abs=0.01)
        assert makeup(texts["D", group])[0] == {"Li", "D"}
        assert fingerprint(texts["D", group]) != fingerprint(texts["H", group])
    conventional, smallest = features([texts["D", "F m -3 m"], texts["D", "P 1"]]).descriptors
    np.testing.assert_allclose(conventional, smallest, rtol=1e-6, atol=1e-12)
    sites = [
        {"species": [{"element": name, "occu": 1}], "abc": [at] * 3} for name, at in (("Li", 0), ("D", 0.5))
    ]
    said = json.dumps({"lattice": {"matrix": (2.9 * np.eye(3)).tolist()}, "sites": sites})
    assert makeup(said)[0] == {"Li", "D"}

"""Hardness from one scale to another: rows of ASTM E140, ranges, and what no table tells."""

from __future__ import annotations

import numpy as np
import pytest

from metasci.data.hardness import SCALES, between_scales, range_of, scale_of
from metasci.errors import InputError

# HRC, HV, HB (tungsten carbide), HK: rows of ASTM E140 Table 1 as printed by suppliers of testers
TABLE_1 = [(68, 940, None, 920), (65, 832, 739, 846), (60, 697, 654, 732), (58, 653, 615, 690), (55, 595, 560, 630),
           (53, 560, 525, 594), (50, 513, 481, 542), (45, 446, 421, 466), (40, 392, 371, 402), (38, 372, 353, 380),
           (30, 302, 286, 311), (28, 286, 271, 297), (24, 260, 247, 272), (20, 238, 226, 251)]  # fmt: skip
# HRB, HV, HB, HK: rows of Table 2
TABLE_2 = [(100, 240, 240, 251), (95, 210, 210, 226), (90, 185, 185, 201), (80, 150, 150, 164), (70, 125, 125, 139),
           (60, 107, 107, 120), (55, 100, 100, 112)]  # fmt: skip


def test_rows_of_the_standard():
    for rows, rockwell in ((TABLE_1, "HRC"), (TABLE_2, "HRB")):
        for number, vickers, brinell, knoop in rows:
            for scale, value in (("HV", vickers), ("HB", brinell), ("HK", knoop)):
                if value is None:
                    assert np.isnan(between_scales(number, rockwell, scale))
                else:
                    assert between_scales(number, rockwell, scale) == pytest.approx(value)
                    assert between_scales(value, scale, rockwell) == pytest.approx(number)


def test_columns_rise_and_have_no_slip():
    """A slip of the pen would show as a bend: second differences of the standard's columns stay small."""
    for rockwell, low, high in (("HRC", 20, 68), ("HRB", 55, 100)):
        for scale in ("HV", "HB", "HK"):
            column = between_scales(np.arange(low, high + 1), rockwell, scale)
            column = column[~np.isnan(column)]
            assert (np.diff(column) > 0).all()
            assert np.abs(np.diff(column, 2)).max() <= 6.0


def test_the_ratio_of_brinell_to_vickers_is_that_of_iso_18265():
    """ISO 18265 Table A.1 has HB = 0.95 HV throughout the softer half."""
    for hardness in (250.0, 300.0, 350.0, 400.0):
        assert between_scales(hardness, "HV", "HB") == pytest.approx(0.95 * hardness, rel=0.01)


def test_there_and_back_within_a_table():
    values = np.linspace(245.0, 820.0, 200)
    for scale in ("HRC", "HB", "HK"):
        np.testing.assert_allclose(between_scales(between_scales(values, "HV", scale), scale, "HV"), values)


def test_outside_the_range_nothing_is_said():
    assert np.isnan(between_scales([237.9, 940.1, np.nan], "HV", "HRC")).all()
    assert range_of("HRB", "HV") == (55.0, 100.0)
    assert range_of("HB", "HRC") == (226.0, 739.0)
    with pytest.raises(InputError, match="no table leads from HRB to HRC"):
        between_scales(90.0, "HRB", "HRC")


def test_scales_by_their_many_names():
    names = {
        "HV30": "HV",
        "HV 0.5": "HV",
        "HBW": "HB",
        "HBS 10/3000": "HB",
        "HK0.1": "HK",
        "HRBW": "HRB",
        "HRC": "HRC",
    }
    assert {name: scale_of(name) for name in names} == names
    assert [scale_of(text) for text in ("MPa", "", "1", "no unit", *SCALES)] == ["", "", "", "", *SCALES]

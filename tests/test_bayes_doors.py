"""What a user meets before and around the sampling: a missing extra, lines that say what goes on, and no others."""

from __future__ import annotations

import logging
import sys
import time
import warnings

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("pymc")

import metasci as ms
from metasci.bayes import versions
from metasci.bayes.kept import KeptDraws
from metasci.bayes.sampling import Posterior, pooled
from metasci.bayes.steps import Steps
from metasci.data.checksums import checksum
from metasci.errors import InputError, MissingExtra


@pytest.fixture
def without_nutpie(monkeypatch) -> None:
    for name in [
        name for name in sys.modules if name == "metasci.bayes" or name.startswith("metasci.bayes.")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nutpie", None)


def test_a_missing_extra_is_one_sentence_before_any_work(without_nutpie, monkeypatch) -> None:
    with pytest.raises(MissingExtra, match=r"needs the library 'nutpie': pip install '.*\[bayes\]'\.$"):
        ms.__getattr__("bayes")
    with pytest.raises(ImportError):  # whoever asks for libraries in the usual way is answered as usual
        from metasci.bayes import quick  # noqa: F401
    monkeypatch.setattr("metasci.load", lambda name: pytest.fail("work was done before"))
    from metasci.cli import app

    result = CliRunner().invoke(app, ["compare", "theophylline", "theophylline"])
    assert isinstance(result.exception, InputError)
    assert "[bayes]" in str(result.exception)


def test_a_long_step_says_so_again(capsys) -> None:
    with Steps(True, every=0.05).step("fold 1 of 3: PyMC samples"):
        time.sleep(0.12)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "fold 1 of 3: PyMC samples"
    assert lines[1] == "fold 1 of 3: PyMC samples: 0 min so far"
    assert 2 <= len(lines) <= 4
    with Steps(False, every=0.01).step("silent"):
        time.sleep(0.03)
    assert capsys.readouterr().err == ""


def test_what_other_libraries_say_ends_here_and_ours_does_not(caplog) -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with versions.quiet():
            warnings.warn("theirs", stacklevel=1)
            logging.getLogger("better_optimize").warning("theirs")
        warnings.warn("ours", stacklevel=1)
        logging.getLogger("metasci").warning("ours")
    assert [str(warning.message) for warning in heard] == ["ours"]
    assert [record.message for record in caplog.records] == ["ours"]


def chains(seed: int, count: int, length: int, shift: float = 0.0) -> Posterior:
    random = np.random.default_rng(seed)
    mean = random.standard_normal((count, length, 2))
    mean[0] += shift
    draws = {
        "coordinate_mean": mean.reshape(-1, 2), "coordinates": random.standard_normal((count * length, 3, 2)),
    }  # fmt: skip
    return Posterior(
        draws=draws, tasks=("a", "b", "c"), data=None, seconds=2.0, compile_seconds=1.0, rhat=1.0 + shift,
        effective_size=50.0 if shift else 500.0, divergences=1, chains=count, judged=("coordinate_mean",),
    )  # fmt: skip


def test_chains_are_put_together_and_judged_anew() -> None:
    parts = [chains(0, 2, 300, shift=2.0), chains(1, 2, 300)]
    found = pooled(parts)
    assert (found.chains, len(found), found.divergences, found.seconds) == (4, 1200, 2, 4.0)
    np.testing.assert_array_equal(found.draws["coordinates"][600:], parts[1].draws["coordinates"])
    assert found.rhat > 1.2  # one in four lies apart, which is seen among all of them
    assert pooled([chains(0, 2, 300), chains(1, 2, 300)]).rhat < 1.05
    # a chain of twice the length is two
    longer = pooled([chains(2, 1, 200), chains(3, 1, 400)])
    assert (longer.chains, len(longer)) == (3, 600)
    np.testing.assert_array_equal(longer.chain(2).draws["coordinates"], longer.draws["coordinates"][400:])


def test_kept_draws_come_back_bit_by_bit(tmp_path) -> None:
    kept, made = KeptDraws(tmp_path / "draws"), []

    def sample(more: int) -> Posterior:
        made.append(more)
        return chains(0, 2, 100)

    kept.sampled("name", sample)
    back = kept.sampled("name", sample)
    assert made == [0]
    for name, values in chains(0, 2, 100).draws.items():
        np.testing.assert_array_equal(back.draws[name], values)
    assert (back.tasks, back.judged, back.chains, back.rhat) == (
        ("a", "b", "c"),
        ("coordinate_mean",),
        2,
        1.0,
    )
    (tmp_path / "draws" / "name.nc").write_bytes(b"no draws")  # a broken file is no draws
    kept.sampled("name", sample)
    assert made == [0, 0]


def test_data_have_a_checksum_wherever_they_come_from() -> None:
    patients = ms.dataset("theophylline")
    frame = patients.to_frame(units=True)
    card = patients.card
    one, same = (ms.TaskSet.from_frame(frame, card) for _ in range(2))
    assert len(checksum(one)) == 64
    assert checksum(one) == checksum(same)
    output = next(name for name in frame.columns if name.startswith(card.output.name))
    changed = frame.assign(**{output: frame[output] + np.eye(len(frame))[0] * 1e-9})
    assert ms.TaskSet.from_frame(changed, card).checksum != one.checksum
    renamed = one.dataset.assign_coords(task=[f"{name} again" for name in one.names])
    assert ms.TaskSet(renamed, card).checksum != one.checksum
    units = one.dataset.copy()
    units["time"] = units["time"].assign_attrs(units="min")
    assert ms.TaskSet(units, card).checksum != one.checksum

"""Study: how much a new asset will move. ``metasci study markets`` (some three minutes).

An asset is a task: how its volatility answers to what came before is calibrated from its first 20, 60 or 250 days, with
a prior learned from other assets and earlier years. Rivals know as much: GARCH(1,1) fitted to those days alone, one
fitted to the other assets' past, an exponential average with the usual decay. Then portfolios by inverse volatility,
after costs, against equal shares.

Prices are those that ship inside of the package skfolio: 20 shares of the S&P 500, daily, 1990 to 2022.
"""

from __future__ import annotations

import gzip
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.signal import lfilter

from metasci.data.cards import Card
from metasci.data.frames import csv_bytes
from metasci.data.tasks import TaskSet
from metasci.extras import missing, needed
from metasci.files import write_atomically
from metasci.fits.predictive import predictive
from metasci.meta import GaussianPrior
from metasci.meta.problem import Problem
from metasci.priors.equation import Prior, meta_calibrate
from metasci.report.style import save_figure
from metasci.responses.volatility import past_volatility, volatility

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "DAYS",
    "forecasts",
    "garch",
    "learned",
    "percentages",
    "portfolio",
    "prices",
    "qlike",
    "stretches",
]

Floats = NDArray[np.float64]

DAYS, AHEAD = (20, 60, 250), 120
"""Days of a new asset that are known, and days after them that are forecast one by one."""

LEARNED, START = "learned prior", "learned prior, not adapted"
_PARTS = 4  # assets are left out five at a time
_YEARS = "2010"  # those before are learned from, those after judged
_WINDOW = 1250  # days of a task: over five years what an asset is like hardly changes
_STALE = 0.1  # share of returns that are zero to the digit
_DECAY = 0.94  # RiskMetrics', J.P. Morgan 1996
_EVERY, _COST = 20, 0.001  # days between trades, and what one costs: 10 basis points
_DRAWS = 2000


def prices() -> pd.DataFrame:
    """Closing prices by day and share, read from where skfolio is installed."""
    found = importlib.util.find_spec("skfolio")
    if found is None or found.origin is None:
        raise missing("skfolio", "markets", "this study's prices")
    path = Path(found.origin).parent / "datasets" / "data" / "sp500_dataset.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return pd.read_csv(file, index_col=0, parse_dates=True)


def percentages(table: pd.DataFrame) -> pd.DataFrame:
    """Logarithmic returns of each day, in percent."""
    return (100.0 * table.map(np.log)).diff().dropna()


def qlike(variance: Floats, returns: Floats) -> Floats:
    """ln v + y²/v: least, on average, for the variance itself (Patton, J Econometrics 160 (2011) 246)."""
    return np.asarray(np.log(variance) + returns**2 / variance)


def stretches(returns: Floats) -> Floats:
    """Five years of an asset each, (stretch, day), but for those whose prices are too coarse or stale to learn from."""
    first = range(0, returns.shape[1] - _WINDOW + 1, _WINDOW)
    segments = np.concatenate([returns[:, at : at + _WINDOW] for at in first])
    return np.asarray(segments[(segments == 0.0).mean(1) <= _STALE])


def _ordinary(returns: Floats) -> float:
    """Volatility of an ordinary asset in an ordinary year, a geometric mean."""
    years = stretches(returns).reshape(-1, 250)
    return float(np.exp(0.5 * np.log((years**2).mean(-1)).mean()))


def _tasks(segments: Floats, start: float) -> TaskSet:
    """Stretches of returns, (task, day), each as if it were all that is known of an asset."""
    past = past_volatility(segments, start)
    columns = {f"{span} [percent]": values[:, :-1].ravel() for span, values in past.items()}
    task = np.repeat([f"stretch {at + 1}" for at in range(len(segments))], segments.shape[1])
    frame = pd.DataFrame({"task": task, **columns, "daily_return [percent]": segments.ravel()})
    return TaskSet.from_frame(frame, Card.from_model(volatility), model=volatility)


def learned(returns: Floats, start: float) -> Prior:
    """The prior of assets, (asset, day): each of their stretches is a task."""
    segments = stretches(returns)
    # a task of 1250 days says enough of itself for expectation–maximisation, which is the quicker objective
    return meta_calibrate(volatility, _tasks(segments, start), GaussianPrior(iterations=12))


def forecasts(prior: Prior, segments: Floats, days: int, start: float, adapted: bool = True) -> Floats:
    """Variances of the days after the first so many, each with what came before it, (task, day)."""
    batch = prior.batch(_tasks(segments, start))
    mask = torch.zeros_like(batch.mask)
    mask[:, :days] = adapted
    forecast = predictive(Problem(prior.model, batch), prior.adapt(batch.with_mask(mask)))
    return np.asarray(forecast.median.numpy()[:, days:] ** 2)


def garch(returns: Floats, level: Floats | float, reaction: float, memory: float, first: Any) -> Floats:
    """Variances of each day and the one after the last under v = level + reaction y² + memory v, (..., day + 1)."""
    first = np.broadcast_to(first, returns.shape[:-1])[..., None]
    news = np.broadcast_to(np.asarray(level)[..., None], returns.shape) + reaction * returns**2
    return np.concatenate([first, lfilter([1.0], [1.0, -memory], news, zi=memory * first)[0]], -1)


def _pooled(returns: Floats, start: float) -> dict[str, Any]:
    """Two GARCH(1,1) for all assets: with one level, and with each asset's own mean square as its level."""
    segments = stretches(returns)
    own = (segments**2).mean(1)

    def shares(z: Floats) -> tuple[float, float]:
        reaction = 1.0 / (1.0 + np.exp(-z[0]))
        return reaction, (1.0 - reaction) / (1.0 + np.exp(-z[1]))

    def one(z: Floats) -> float:
        variance = garch(segments, float(np.exp(z[2])), *shares(z), start**2)
        return float(qlike(variance[:, :-1], segments).mean())

    def each(z: Floats) -> float:
        rest = 1.0 - sum(shares(z))
        return float(qlike(garch(segments, rest * own, *shares(z), own)[:, :-1], segments).mean())

    common = minimize(one, [-3.0, 3.0, -3.0], method="Nelder-Mead").x
    same = minimize(each, [-3.0, 3.0], method="Nelder-Mead").x
    return {"one level": (*shares(common), float(np.exp(common[2]))), "own level": shares(same)}


def _alone(segments: Floats, days: int) -> Floats:
    """GARCH(1,1) fitted by `arch` to the first days of each stretch; never below a tenth of their mean square."""
    arch_model = needed("arch", "markets", "GARCH fitted alone").arch_model
    rows = []
    for segment in segments:
        fit = arch_model(segment[:days], mean="Zero", vol="GARCH", p=1, q=1, rescale=False)
        done = fit.fit(disp="off", show_warning=False)
        level, reaction, memory = done.params.to_numpy()
        last = level + reaction * segment[days - 1] ** 2 + memory * done.conditional_volatility[-1] ** 2
        row = garch(segment[None, days:], level, reaction, memory, last)[0, :-1]
        rows.append(np.maximum(row, 0.1 * (segment[:days] ** 2).mean()))
    return np.stack(rows)


def part_forecasts(values: Floats, known: int, part: int) -> dict[tuple[str, int], Floats]:
    """Variances by way and days of the assets of a part, (asset, origin, day), learned from the others' first days.

    Parameters
    ----------
    values : array, (asset, day)
        Returns in percent.
    known : int
        Days to learn from.
    part : int
        Every fourth asset from this one on is new.
    """
    new = np.arange(part, len(values), _PARTS)
    old = np.delete(values, new, 0)[:, :known]
    start = _ordinary(old)
    prior, pooled = learned(old, start), _pooled(old, start)
    origins = _origins(values, known)
    found: dict[tuple[str, int], Floats] = {}
    for days in DAYS:
        cut = np.concatenate([values[new, at - days : at + AHEAD] for at in origins])
        ways = {
            LEARNED: forecasts(prior, cut, days, start),
            START: forecasts(prior, cut, days, start, adapted=False),
        }
        after, own = slice(days, -1), (cut[:, :days] ** 2).mean(1)
        reaction, memory, level = pooled["one level"]
        ways["GARCH of all, one level"] = garch(cut, level, reaction, memory, start**2)[:, after]
        reaction, memory = pooled["own level"]
        level = (1.0 - reaction - memory) * own
        ways["GARCH of all, own level"] = garch(cut, level, reaction, memory, own)[:, after]
        ways["average, decay 0.94"] = garch(cut, 0.0, 1.0 - _DECAY, _DECAY, start**2)[:, after]
        ways["GARCH alone"] = _alone(cut, days)
        shape = (len(origins), len(new), AHEAD)
        found |= {(way, days): variance.reshape(shape).swapaxes(0, 1) for way, variance in ways.items()}
    return found


def _origins(values: Floats, known: int) -> NDArray[np.int_]:
    """First days that are forecast."""
    return np.arange(known, values.shape[1] - AHEAD + 1, AHEAD)


def together(parts: Sequence[dict[tuple[str, int], Floats]]) -> dict[tuple[str, int], Floats]:
    """The parts' forecasts in the order of the assets."""
    assets = _PARTS * len(next(iter(parts[0].values())))
    found = {key: np.empty((assets, *each.shape[1:])) for key, each in parts[0].items()}
    for at, part in enumerate(parts):
        for key, each in part.items():
            found[key][at::_PARTS] = each
    return found


def _interval(difference: Floats, seed: int = 0) -> tuple[float, float]:
    """90 % of the mean of (asset, block of days), assets and blocks drawn anew."""
    draw = np.random.default_rng(seed)
    assets, blocks = difference.shape
    weights = [draw.multinomial(size, np.full(size, 1.0 / size), _DRAWS) / size for size in (assets, blocks)]
    low, high = np.quantile(np.einsum("da,ab,db->d", weights[0], difference, weights[1]), (0.05, 0.95))
    return float(low), float(high)


def _table(found: dict[tuple[str, int], Floats], came: Floats) -> pd.DataFrame:
    rows = []
    for (way, days), variance in found.items():
        loss = qlike(variance, came).mean(-1)
        less = loss - qlike(found[LEARNED, days], came).mean(-1)
        low, high = _interval(less)
        rows.append(
            {
                "days": days,
                "way": way,
                "QLIKE": loss.mean(),
                "more than learned": less.mean(),
                "from": low,
                "to": high,
            }
        )
    order = {way: at for at, (way, _) in enumerate(found)}
    return pd.DataFrame(rows).sort_values(["days", "way"], key=lambda column: column.replace(order))


def portfolio(
    shares: Floats, returns: Floats, every: int = _EVERY, cost: float = _COST
) -> tuple[Floats, float]:
    """Logarithmic returns of each day, and what is traded a year in units of the wealth.

    Parameters
    ----------
    shares : array, (asset, day)
        Wanted; of a day on which is traded, before its return.
    returns : array, (asset, day)
        Logarithmic, as fractions.
    every : int
        Days between trades; shares drift on the others.
    cost : float
        Of the amount that is bought or sold, as a fraction.
    """
    held, daily, traded = shares[:, 0], [], 0.0
    for day in range(returns.shape[1]):
        paid = 0.0
        if day % every == 0:
            moved = float(np.abs(shares[:, day] - held).sum())
            traded, paid, held = traded + moved, cost * moved, shares[:, day]
        grown = held * np.exp(returns[:, day])
        daily.append(np.log(grown.sum()) + np.log1p(-paid))
        held = grown / grown.sum()
    return np.array(daily), traded * 252.0 / returns.shape[1]


def _allocated(found: dict[tuple[str, int], Floats], came: Floats) -> tuple[pd.DataFrame, dict[str, Floats]]:
    """Wealth by inverse volatility of each way, and by equal shares, with 250 days of each asset."""
    flat = came.reshape(len(came), -1) / 100.0
    ways = [way for way, days in found if days == DAYS[-1]]
    volatilities = {way: np.sqrt(found[way, DAYS[-1]].reshape(flat.shape)) for way in ways}
    wanted = {"equal shares": np.ones_like(flat)} | {way: 1.0 / each for way, each in volatilities.items()}
    paths, rows = {}, []
    for way, each in wanted.items():
        paths[way], traded = portfolio(each / each.sum(0), flat)
        more = (paths[way] - paths["equal shares"]).reshape(-1, AHEAD).mean(1) * 25_200.0
        low, high = _interval(more[None])
        rows.append(
            {
                "shares": way,
                "growth (% a year)": 25_200.0 * paths[way].mean(),
                "volatility (% a year)": 100.0 * np.sqrt(252.0) * paths[way].std(),
                "growth by volatility": np.sqrt(252.0) * paths[way].mean() / paths[way].std(),
                "traded a year": traded,
                "growth more than equal": more.mean(),
                "from": low,
                "to": high,
            }
        )
    return pd.DataFrame(rows).set_index("shares"), paths


def figure(table: pd.DataFrame, paths: dict[str, Floats], dates: pd.Index[Any]) -> Figure:
    """What rivals lose beside the learned prior, by days known, but for GARCH alone, which lies far out; and wealth."""
    from matplotlib.dates import DateFormatter, YearLocator
    from matplotlib.figure import Figure

    from metasci.report.style import GREY, PALETTE, styled

    @styled
    def draw() -> Figure:
        drawing = Figure(figsize=(8.6, 3.2), layout="constrained")
        left, right = drawing.subplots(1, 2, width_ratios=(1.3, 1.0))
        ways = ["average, decay 0.94", "GARCH of all, own level", "GARCH of all, one level"]
        for at, days in enumerate(DAYS):
            of = table[table["days"] == days].set_index("way").loc[ways]
            places = np.arange(len(ways)) + 0.22 * (at - 1)
            error = (of["more than learned"] - of["from"], of["to"] - of["more than learned"])
            left.errorbar(
                of["more than learned"],
                places,
                xerr=error,
                fmt="o",
                ms=4,
                color=PALETTE[at],
                lw=1.2,
                label=f"{days} days",
            )
        left.axvline(0.0, color=GREY, lw=0.8)
        left.set(yticks=np.arange(len(ways)), yticklabels=ways, xlabel="QLIKE more than the learned prior's")
        left.invert_yaxis()
        left.legend(loc="lower right")
        for at, way in enumerate(("equal shares", LEARNED, "average, decay 0.94")):
            right.plot(dates, np.exp(np.cumsum(paths[way])), color=PALETTE[at], lw=1.1, label=way)
        right.set(title="wealth after costs", ylim=(0.0, None))
        right.xaxis.set_major_locator(YearLocator(4))
        right.xaxis.set_major_formatter(DateFormatter("%Y"))
        right.legend(loc="upper left")
        return drawing

    return draw()


def main(out: Path) -> None:
    """Print the tables, and write all figures and the picture into a folder."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    needed("arch", "markets", "this study")
    returns = percentages(prices())
    values, known = returns.to_numpy().T, int((returns.index < _YEARS).sum())
    found = together([part_forecasts(values, known, part) for part in range(_PARTS)])
    written(returns, found, out)


def written(returns: pd.DataFrame, found: dict[tuple[str, int], Floats], out: Path) -> None:
    """Tables and picture of forecasts."""
    values, known = returns.to_numpy().T, int((returns.index < _YEARS).sum())
    came = np.stack([values[:, at : at + AHEAD] for at in _origins(values, known)], 1)
    table = _table(found, came)
    money, paths = _allocated(found, came)
    dates = returns.index[known : known + came[0].size]
    write_atomically(out / "markets.csv", csv_bytes(table))
    write_atomically(out / "portfolios.csv", csv_bytes(money.reset_index()))
    save_figure(figure(table, paths, dates), out / "markets.png", dpi=150)
    print(
        f"{came.shape[0]} assets left out {came.shape[0] // _PARTS} at a time; learned from years before {_YEARS}, "
        f"judged on {dates[0].date()} to {dates[-1].date()}, {came.shape[1]} starts of {AHEAD} days; 90 % intervals "
        "over assets and starts"
    )
    kept, whole = len(stretches(values[:, :known])), len(values) * (known // _WINDOW)
    worst = max(float((row[:_WINDOW] == 0.0).mean()) for row in values)
    print(
        f"{whole - kept} of {whole} stretches of {_WINDOW} days are not learned from: more than {_STALE:.0%} of their "
        f"returns are zero, {worst:.0%} in the worst one"
    )
    for days, of in table.groupby("days"):
        print(f"\n{days} days known\n{of.drop(columns='days').set_index('way').round(4).to_string()}")
    print(
        f"\nInverse volatility, {DAYS[-1]} days known, traded every {_EVERY} days at {1e4 * _COST:.0f} basis points"
    )
    print(money.round(2).to_string())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("markets"))

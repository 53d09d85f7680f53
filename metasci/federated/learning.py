"""Rounds of questions and answers: who answered, in how many bytes and seconds, and whose answer was not used."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from metasci.data.cards import Card
from metasci.data.tasks import TaskSet
from metasci.errors import FAILURES, InputError
from metasci.federated.gradients import ByGradients, Start
from metasci.federated.messages import packed, unpacked
from metasci.federated.procedure import Procedure, Site, transforms_of
from metasci.federated.statistics import ByStatistics, Population
from metasci.files import State
from metasci.learned.base import versions
from metasci.meta.covariates import Covariates, fault_of_moments, moment_shapes
from metasci.meta.gradient import GradientMethod
from metasci.meta.laplace.gaussian import GaussianPrior
from metasci.meta.laplace.statistics import why_no_update
from metasci.model import Model
from metasci.priors.equation import Prior

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Answerer",
    "Federated",
    "Federation",
    "Heard",
    "Lines",
    "Round",
    "SideBySide",
    "as_procedure",
    "learn",
    "prior_of",
    "reply",
]

Answerer = Callable[[bytes, int], bytes]
"""A site at the end of a line: takes a question and the number of the round, from 0 on, and gives its answer."""


@dataclass(frozen=True)
class Heard:
    """What came from a site: an answer after some seconds, or why none did."""

    message: bytes
    seconds: float = 0.0
    why_not: str = ""


class Lines(Protocol):
    """How sites are reached."""

    @property
    def count(self) -> int:
        """How many sites there are."""

    def ask(self, question: bytes, number: int) -> Mapping[str, Heard]:
        """What each site answers to a question in a round, by its name."""


@dataclass(frozen=True)
class SideBySide:
    """Sites in this process, asked one after another.

    Parameters
    ----------
    answerers : mapping of str to callable
        By the site's name.
    """

    answerers: Mapping[str, Answerer]

    @property
    def count(self) -> int:
        return len(self.answerers)

    def ask(self, question: bytes, number: int) -> Mapping[str, Heard]:
        heard = {}
        for name, answerer in self.answerers.items():
            began = time.perf_counter()
            try:
                message = answerer(question, number)
            except FAILURES as error:  # a site that fails is no reason for the others to stop
                heard[name] = Heard(b"", why_not=f"{type(error).__name__}: {str(error)[:80]}")
            else:
                heard[name] = Heard(message, time.perf_counter() - began)
        return heard


# How far an answer may move things before it is not believed: so many times the median of the sites' …
_TIMES = 10.0
# … if that is also so far as this; of a Gaussian prior in standard deviations between tasks, where honest sites that
# are much alike may well differ tenfold
_AT_LEAST = 4.0
# with fewer sites there is no saying which one is the odd one out
_ENOUGH_TO_COMPARE = 3


@dataclass(frozen=True)
class Round:
    """One question and its answers.

    Attributes
    ----------
    number : int
        From 0 on, which is the introduction.
    down, up : int
        Bytes of the questions and of the answers that came, all sites together.
    tasks : int
        Of the sites whose answers were used.
    seconds : dict of str to float
        From question to answer, by site.
    left_out : dict of str to str
        Sites whose answer did not come or was not used, and why.
    """

    number: int
    down: int
    up: int
    tasks: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Federated:
    """What was learned, and what it took.

    Attributes
    ----------
    prior : Prior
        As if learned in one place: it calibrates, evaluates and is saved.
    rounds : tuple of Round
    """

    prior: Prior
    rounds: tuple[Round, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """A row for each round: bytes, the slowest site's seconds, how many answered, who was left out."""
        import pandas as pd

        return pd.DataFrame(
            {
                "round": each.number,
                "bytes_down": each.down,
                "bytes_up": each.up,
                "seconds": max(each.seconds.values(), default=0.0),
                "answers": len(each.seconds) - len(set(each.left_out) & set(each.seconds)),
                "left_out": "; ".join(f"{site}: {why}" for site, why in each.left_out.items()),
            }
            for each in self.rounds
        )


def reply(procedure: Procedure[Any], site: Site, question: bytes, number: int) -> bytes:
    """What a site answers: all that it does, wherever it is."""
    if number == 0:
        return packed({**site.moments(), **procedure.introduction(site)})
    return packed(procedure.answer(site, unpacked(question), number))


@dataclass(frozen=True)
class Federation:
    """Sites that can be asked, and how many of them must answer.

    Parameters
    ----------
    lines : Lines
    least : float
        Share of the sites that must answer in every round; with fewer, learning stops and says so.
    """

    lines: Lines
    least: float = 0.5

    def run(
        self,
        procedure: Procedure[Any],
        model: Model,
        covariates: tuple[str, ...] = (),
        watch: Callable[[Any, Round], None] = lambda state, each: None,
    ) -> tuple[Any, tuple[Round, ...]]:
        """Ask until the procedure has finished.

        Parameters
        ----------
        procedure : Procedure
        model : Model
        covariates : tuple of str
        watch : callable
            Called after every round with the state and the round.

        Returns
        -------
        state
            The procedure's.
        rounds : tuple of Round

        Raises
        ------
        InputError
            If fewer sites than `least` gave an answer that can be used; the sentence says which not, and why.
        """
        shapes = {**moment_shapes(len(covariates)), **procedure.introduction_shapes()}
        answers, first = self._ask(b"", 0, lambda message: _introduced(message, shapes))
        scaled = Covariates.of_moments(
            covariates,
            transforms_of(model, covariates),
            [
                {name: each[name] for name in ("tasks", "known", "sums", "products")}
                for each in answers.values()
            ],
        )
        state, rounds = procedure.begin(model, scaled, list(answers.values())), [first]
        tasks = {name: float(each["tasks"]) for name, each in answers.items()}
        while len(rounds) <= procedure.most and not procedure.finished(state):
            question = procedure.question(state)
            judge = _Judge(procedure, question, tasks)
            answers, each = self._ask(packed(question), len(rounds), judge.read, judge)
            state = procedure.next(state, list(answers.values()))
            rounds.append(each)
            watch(state, each)
        return state, tuple(rounds)

    def _ask(
        self, question: bytes, number: int, read: Callable[[bytes], State], judge: _Judge | None = None
    ) -> tuple[dict[str, State], Round]:
        """Every site's answer, but for those that failed or cannot be believed."""
        answers: dict[str, State] = {}
        left_out: dict[str, str] = {}
        heard = self.lines.ask(question, number)
        for name, each in heard.items():
            if each.why_not:
                left_out[name] = f"no answer ({each.why_not})"
                continue
            try:
                answers[name] = read(each.message)
            except InputError as error:
                left_out[name] = str(error)
        if judge is not None:
            for name, why in judge.disbelieved(answers).items():
                left_out[name] = why
                del answers[name]
        count = max(self.lines.count, len(heard))
        if len(answers) < max(1, self.least * count):
            why = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
            raise InputError(
                f"round {number}: only {len(answers)} of {count} sites gave an answer that can be used "
                f"({why}); ask again when they do, or lower `least`."
            )
        tasks = int(sum(float(each["tasks"]) for each in answers.values()))
        down, up = len(question) * count, sum(len(each.message) for each in heard.values())
        seconds = {name: each.seconds for name, each in heard.items() if not each.why_not}
        return answers, Round(number, down, up, tasks, seconds, left_out)


def _introduced(message: bytes, shapes: Mapping[str, tuple[int, ...]]) -> State:
    """What a site says of itself, where it can be so."""
    moments = unpacked(message, shapes)
    if why := fault_of_moments(moments):
        raise InputError(f"{why}.")
    return moments


@dataclass(frozen=True)
class _Judge:
    """Whether an answer is one: of the right shapes, finite, possible, and not out of all proportion to the others."""

    procedure: Procedure[Any]
    question: State
    tasks: Mapping[str, float]

    def read(self, message: bytes) -> State:
        answer = unpacked(message, self.procedure.shapes(self.question))
        if why := self.procedure.fault(self.question, answer):
            raise InputError(f"{why}.")
        return answer

    def disbelieved(self, answers: Mapping[str, State]) -> dict[str, str]:
        """Sites whose answers are not used though they can be read, and why."""
        why = {
            name: f"it counts {float(answer['tasks']):g} tasks, and said {self.tasks[name]:g} before"
            for name, answer in answers.items()
            if name in self.tasks and float(answer["tasks"]) > self.tasks[name]
        }
        sizes = {
            name: self.procedure.size(self.question, answer)
            for name, answer in answers.items()
            if name not in why
        }
        if len(sizes) < _ENOUGH_TO_COMPARE:
            return why
        most = max(_TIMES * float(np.median(list(sizes.values()))), _AT_LEAST)
        far = {name: size for name, size in sizes.items() if not size <= most}
        return why | {
            name: f"it would move what is learned by {size:.3g}, more than {most:.3g}"
            for name, size in far.items()
        }


def learn(
    model: Model,
    sites: Mapping[str, TaskSet],
    procedure: Procedure[Any] | GaussianPrior | GradientMethod | None = None,
    *,
    covariates: tuple[str, ...] = (),
    name: str = "",
    least: float = 0.5,
    watch: Callable[[Any, Round], None] = lambda state, each: None,
) -> Federated:
    """Learn a prior from sites side by side in this process, each of which is asked as if it were far away.

    Parameters
    ----------
    model : Model
    sites : mapping of str to TaskSet
        What each site has; one task may do.
    procedure : Procedure or method, optional
        A Gaussian prior by statistics by default, other methods by gradients.
    covariates : tuple of str
        Known properties of tasks that shift the start.
    name : str
    least : float
        Share of the sites that must answer in every round.
    watch : callable
        Called after every round with the procedure's state and the `Round`.

    Returns
    -------
    Federated

    Raises
    ------
    InputError
        If sites are none, or too few of them gave answers that can be used.

    Examples
    --------
    >>> import metasci as ms
    >>> patients = ms.dataset("theophylline")
    >>> sites = {"A": patients.select(slice(0, 5)), "B": patients.select(slice(5, None))}
    >>> learned = learn(ms.patients.one_compartment_oral, sites)
    >>> learned.prior
    Prior('theophylline': patients.one_compartment_oral, Gaussian prior, learned from 12 tasks)
    """
    if not sites:
        raise InputError("there are no sites to learn from.")
    chosen = as_procedure(procedure)
    federation = Federation(
        SideBySide(
            {site: _answerer(chosen, Site(model, tasks, tuple(covariates))) for site, tasks in sites.items()}
        ),
        least,
    )
    state, rounds = federation.run(chosen, model, tuple(covariates), watch)
    card = next(iter(sites.values())).card
    return Federated(prior_of(chosen, model, state, card, name or card.name, rounds), rounds)


def as_procedure(procedure: Procedure[Any] | GaussianPrior | GradientMethod | None) -> Procedure[Any]:
    """A procedure, also of a method."""
    if procedure is None or isinstance(procedure, GaussianPrior):
        return ByStatistics(procedure or GaussianPrior())
    return ByGradients(procedure) if isinstance(procedure, GradientMethod) else procedure


def _answerer(procedure: Procedure[Any], site: Site) -> Answerer:
    return lambda question, number: reply(procedure, site, question, number)


def prior_of(
    procedure: Procedure[Any],
    model: Model,
    state: Population | Start,
    card: Card,
    name: str,
    rounds: tuple[Round, ...],
) -> Prior:
    """The prior of what a procedure learned; with the sites' sums, so that more can be learned on top."""
    left_out = sorted({site for each in rounds for site in each.left_out})
    training = {
        "seed": int(getattr(procedure, "seed", 0)),
        "sites": len(rounds[0].seconds),
        "tasks": rounds[0].tasks,
        "rounds": len(rounds) - 1,
        "bytes": sum(each.down + each.up for each in rounds),
        "left_out_as_not_finite": {},
        "sites_left_out_at_times": left_out,
        "versions": versions(),
    }
    seen = None
    if isinstance(state, Population) and state.seen is not None and isinstance(procedure, ByStatistics):
        training["measurements"] = int(state.seen.measurements)
        if not why_no_update(procedure.method, model.noise):
            now = state.state
            seen = state.seen.under(now.coefficients, now.covariance.inverse(), now.log_noise)
    return Prior(
        name,
        model,
        procedure.method,
        state.state.lasting(),
        state.covariates,
        card,
        training,
        seen,
    )

"""A prior that is the mean of a process over families and of networks of graphs, learned from the same families."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from metasci.data.tasks import TaskSet
from metasci.forecasts import StudentForecaster
from metasci.learned.blend import LearnedBlend, averaged
from metasci.learned.families import LearnedFamilies
from metasci.learned.networks import LearnedNetworks
from metasci.priors.base import MembersVerbs
from metasci.priors.families import StructurePrior
from metasci.priors.networks import NetworkPrior

__all__ = ["BlendPrior"]


class BlendPrior(MembersVerbs, LearnedBlend):
    """The mean of a process and networks, with all that a prior can do; its parts are those of `LearnedBlend`.

    Examples
    --------
    >>> import metasci as ms
    >>> from metasci.learned.networks import NetworkMethod
    >>> from metasci.materials.architectures import Architecture
    >>> process, method = ms.load("boiling_point"), NetworkMethod(Architecture("smiles", width=8))
    >>> networks = NetworkPrior("mine", process.model, method, process.card)
    >>> BlendPrior("mine", process.model, process.card, process, networks)
    BlendPrior('mine': materials.boiling_point, learned from unknown families)
    """

    kinds: ClassVar[tuple[type[LearnedFamilies], type[LearnedNetworks]]] = (StructurePrior, NetworkPrior)

    def _parts(self) -> tuple[StructurePrior, NetworkPrior]:
        process, networks = self.process, self.networks
        if not isinstance(process, StructurePrior) or not isinstance(networks, NetworkPrior):
            raise TypeError("a blend learns through priors, a StructurePrior and a NetworkPrior.")
        return process, networks

    def retrain(self, tasks: TaskSet, *, seed: int | None = None, progress: bool = False) -> BlendPrior:
        """Both learned anew from other families."""
        process, networks = self._parts()
        process = process.retrain(tasks, seed=seed, progress=progress)
        networks = networks.retrain(tasks, seed=seed, progress=progress)
        seconds = round(process.training["seconds"] + networks.training["seconds"], 2)
        training = {**process.training, "seconds": seconds}
        return replace(self, process=process, networks=networks, training=training)

    def update(self, tasks: TaskSet) -> BlendPrior:
        """A prior that has learned from new families, too: the process by its sums, the networks by online Laplace.

        Parameters
        ----------
        tasks : TaskSet
            None of which was learned from before: a family that comes twice counts twice.

        Raises
        ------
        InputError
            If the networks keep nothing of their families, as those do that were saved by an earlier version.
        """
        process, networks = self._parts()
        networks, process = networks.update(tasks), process.update(tasks)
        seconds = round(process.training["seconds"] + networks.training["seconds"], 2)
        sums = networks.training["data_sha256"]
        training = {**self.training, **process.training, "seconds": seconds, "data_sha256": sums}
        return replace(self, process=process, networks=networks, training=training)

    def forecasters(self, tasks: TaskSet) -> dict[str, StudentForecaster]:
        """The mean, each of its parts, and the baselines of the process."""
        process, networks = self._parts()
        ways = process.forecasters(tasks)
        own, head = ways.pop("prior"), networks.forecaster(tasks)
        return {"prior": averaged(own, head), "process over families": own, networks.way: head, **ways}

"""Calibration on another device, where this machine has one: the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import metasci as ms

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize(
    "name", ["theophylline", "phenobarbital", "alloy_fatigue", "steel_tempering", "quinidine"]
)
def test_tasks_have_on_cuda_the_calibration_that_they_have_on_the_processor(name: str) -> None:
    prior, tasks = ms.load(name), ms.dataset(name)
    few = tasks.select(tasks.names[:5])
    own, here = prior.calibrate(few), prior.calibrate(few, device="cuda")
    for column in ("estimate", "lower", "upper", "shrinkage"):
        np.testing.assert_allclose(here.parameters[column], own.parameters[column], rtol=1e-6)


def test_many_tasks_are_calibrated_on_cuda() -> None:
    prior, tasks = ms.load("theophylline"), ms.dataset("theophylline")
    own = prior.calibrate_many(tasks, chunk=5)
    here = prior.calibrate_many(tasks, chunk=5, device="cuda")
    np.testing.assert_allclose(here["estimate"], own["estimate"], rtol=1e-8)
    np.testing.assert_allclose(
        here["coordinate_covariance"], own["coordinate_covariance"], rtol=1e-6, atol=1e-12
    )


def test_a_prior_learned_on_cuda_is_the_one_learned_on_the_processor() -> None:
    prior, tasks = ms.load("theophylline"), ms.dataset("theophylline")
    own = ms.meta_calibrate(prior.model, tasks, seed=0)
    here = ms.meta_calibrate(prior.model, tasks, seed=0, device="cuda")
    for name, value in own.state.tensors().items():
        torch.testing.assert_close(here.state.tensors()[name].cpu(), value, rtol=1e-5, atol=1e-7)

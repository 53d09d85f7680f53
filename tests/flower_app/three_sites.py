"""Three hospitals with four patients each, as a server and clients of Flower."""

import os
from pathlib import Path

import metasci as ms
from metasci.federated import ByStatistics, Site
from metasci.federated.flower import client, server

PATIENTS = ms.dataset("theophylline")
MODEL = ms.patients.one_compartment_oral
PROCEDURE = ByStatistics(ms.GaussianPrior(iterations=3))
SITES = 3


def site_of(context):
    """Which hospital this is, the node's configuration says."""
    at = int(context.node_config["site"])
    return f"hospital {at}", Site(MODEL, PATIENTS.select(slice(4 * at, 4 * at + 4)))


def kept(learned):
    """Save the prior, and what each round was."""
    folder = Path(os.environ["METASCI_FEDERATED_OUT"])
    learned.frame.to_csv(folder / "rounds.csv", index=False)
    learned.prior.save(folder / "prior")


client_app = client(PROCEDURE, site_of)
server_app = server(PROCEDURE, MODEL, PATIENTS.card, SITES, kept, patience=200.0)

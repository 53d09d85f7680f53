"""A drug by mouth and its metabolite, after a lag; the numbers are made up."""

import metasci as ms
from metasci.patients import Entry, Observed, Power, ode_model

model = ode_model(
    name="parent_and_metabolite",
    states=("gut", "parent", "metabolite"),
    doses_into=[Entry("gut", lag="lag"), "parent"],
    parameters={"ka": "1.2 1/h", "cl": "4 L/h", "v": "70 L", "clm": "2.5 L/h", "vm": "60 L", "lag": "0.4 h"},
    slopes=lambda t, x, p: {
        "gut": -p.ka * x.gut,
        "parent": p.ka * x.gut - p.cl / p.v * x.parent,
        "metabolite": 0.7 * p.cl / p.v * x.parent - p.clm / p.vm * x.metabolite,
    },
    outputs={
        "parent": Observed("mg/L", lambda x, p: x.parent / p.v, ms.Proportional((0.15,))),
        "metabolite": Observed("ug/L", lambda x, p: 1000 * x.metabolite / p.vm, ms.Proportional((0.2,))),
    },
    effects={"cl": [Power("weight", "kg", 70, 0.75)]},
    secondary={"half_life": ("h", lambda p: 0.693147 * p.v / p.cl)},
)

"""Materials: structures as inputs, properties of families, graphs and graph networks; the extra ``materials``."""

"""Hostile inputs for every door: what a stranger's file or argument may do is a sentence or a sane result.

`python -m tests.fuzz --each 500` makes inputs, tries them and keeps those that fail; `corpus/` holds every input
that ever failed, which the suite tries again.
"""

"""How a prior is judged: the protocol, the scores, and the run over held-out tasks."""

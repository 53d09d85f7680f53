"""The error that is meant for people."""

__all__ = ["InputError"]


class InputError(ValueError):
    """What was given cannot be used; the message is one sentence that says what to change.

    The command line prints the sentence and ends with status 2; no traceback is shown.
    """

"""The composition root: the only place where rooms are wired together. Its verbs are what the faces call."""

from ultralab.app.lab import Lab, open_lab

__all__ = ["Lab", "open_lab"]

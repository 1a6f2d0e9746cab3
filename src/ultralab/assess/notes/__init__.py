"""What is known about running models on Apple silicon: short notes, each with its reason and its public source."""

from ultralab.assess.notes.apple import NOTES
from ultralab.assess.notes.types import Note, Subject, notes_for

__all__ = ["NOTES", "Note", "Subject", "notes_for"]

"""Tokens and passwords, kept outside every lab: in the system's keychain, or in a file that only its owner can read.

A value is never part of a message, of a ``repr`` or of a log: it comes out of :func:`read` and :func:`token_for` alone.
"""

from ultralab.secrets.checks import doctor_checks
from ultralab.secrets.tokens import token_for
from ultralab.secrets.verbs import Kept, Secrets, forget, names, read, write

__all__ = ["Kept", "Secrets", "doctor_checks", "forget", "names", "read", "token_for", "write"]

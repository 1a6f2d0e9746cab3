"""The supervisor: one small process per running job, a program of its own (``main.py``). Nothing imports its parts.

Each module here is loaded at its start, so each is small and takes little of the standard library.
"""

SCRIPT = __file__.replace("__init__", "main")
"""The program's path."""

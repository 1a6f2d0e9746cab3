"""Experiments: a file a person writes becomes runs that are measured, recorded, tracked and reported.

Submodules are imported where they are used: reading a record must not load the plotting library.
"""

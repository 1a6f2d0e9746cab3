"""Clients of the dialects that engines speak."""

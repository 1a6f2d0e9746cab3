"""Advice: what to load of a model on a machine, the ranking of well-known models, the guide in the lab."""

"""Exact mode: llama.cpp itself is asked what a model would take, without one of its weights."""

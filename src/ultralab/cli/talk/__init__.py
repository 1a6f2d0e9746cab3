"""``ultralab chat`` and ``ultralab generate``: talking to an engine directly."""

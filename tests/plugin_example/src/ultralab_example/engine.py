"""An engine: the shipped fake's process and dialect under a name of its own, and for the words format."""

from ultralab.engines.fake import Fake


class Parrot(Fake):
    """Says what the fake says. A real engine implements ``ultralab.engines.base.Engine`` by itself."""

    name = "parrot"
    formats = frozenset({"words"})


ENGINE = Parrot()

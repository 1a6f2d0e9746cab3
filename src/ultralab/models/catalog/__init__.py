"""Asking the library: the index over the metadata files, searches, tags, and the pages made from them."""

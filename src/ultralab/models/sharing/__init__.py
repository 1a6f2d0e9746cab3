"""One copy of the bytes for every tool: what others have, equal bytes, showing ours."""

"""Two tiny models with random weights and a fixed seed, for checks that need no download."""

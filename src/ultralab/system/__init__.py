"""The doors to the world: files, processes, databases, HTTP, locks, the clock, the environment. Nothing else."""

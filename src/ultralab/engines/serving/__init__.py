"""A server for frameworks that are Python libraries: one HTTP server, one scheduler, a small seam to the framework."""

"""What was measured on this machine: by a short run, and by the lab's experiments."""

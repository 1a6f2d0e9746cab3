"""What could go when space is short: proposals (pure), and the deletions with their log."""

"""Well-known large models, from their public configurations."""

"""The ground floor: errors, ids, units, text, language, progress, checks, plugins. Standard library only."""

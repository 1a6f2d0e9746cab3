"""Decisions, pure: what starts now, why the rest waits, what a moment, a night and a cron line mean. No I/O, no clock."""

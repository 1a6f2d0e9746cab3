"""First run, demo, doctor, selftest: what a new user meets first."""

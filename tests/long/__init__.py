"""Long forms of tests: `python -m tests.long.fuzz`, `python -m tests.long.death`."""

"""Judging: figures of runs in, verdicts out. Pure."""

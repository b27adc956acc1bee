"""Verdicts: figures of runs in, what they mean out. Pure."""

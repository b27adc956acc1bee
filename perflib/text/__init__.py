"""Verdicts as sentences, figures as words and tables. Pure."""

"""`python -m perflib`."""

from perflib.cli import entry

entry()

"""`python -m perflib`."""

from perflib.cli.app import entry

entry()

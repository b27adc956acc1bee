"""The session: what happens in order. Prepares a run, drives it, keeps what it leaves, judges it."""

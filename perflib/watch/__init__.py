"""Watching the target's processes while a load is on it."""

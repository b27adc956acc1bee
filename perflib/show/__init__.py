"""How a table is written. Knows nothing of runs."""

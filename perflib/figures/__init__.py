"""Figures: rows of a run in, numbers out. The only room that leaves out warm-up and cold answers. Pure."""

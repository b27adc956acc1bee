"""The only package that opens data files: runs, target files, baselines, and where they live."""

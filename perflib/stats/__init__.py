"""Statistics: numpy in, frozen results out. No I/O, no knowledge of runs or charts."""

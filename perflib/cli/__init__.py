"""The command line: arguments to calls, results to print, and the exit status."""

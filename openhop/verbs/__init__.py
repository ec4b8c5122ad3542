"""The verbs of the command line, a module each: `main` does the work and returns the exit code."""

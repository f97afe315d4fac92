"""Values: the arguments and results of the public calls, and their checks."""

"""A look over a folder of a hospital before anything runs: what is there, what can be used, and why the rest cannot."""

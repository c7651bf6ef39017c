"""What nango_py costs beside its peers: `python -m benchmarks` prints the tables of the README."""

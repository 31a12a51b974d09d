"""Generators and measuring scripts of the bundled benchmarks."""

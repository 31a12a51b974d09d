"""Metrics as pure functions, and the report on a set of weights."""

"""Optuna over the loss weights."""

STORAGE = "RMTL_SEARCH_STORAGE"
"""Variable with the database that the workers of a study share, e.g. `postgresql+psycopg://...`; it is a secret."""

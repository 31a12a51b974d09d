"""Optuna over the loss weights."""

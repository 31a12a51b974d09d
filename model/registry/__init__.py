"""Runs and versions in MLflow: tracking, registration, gate, promotion, lineage."""

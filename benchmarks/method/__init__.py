"""The study of the method on exact labels: rows of the ablation trained in pairs, measured, and compared."""

"""Optuna over the loss weights, with any number of workers on one study.

Every worker runs the same loop: hold the turn, fail what is stale, ask, train, tell. What is drawn depends on the seed
and on a trial's place among the draws alone, and a trial that is taken up again trains on in its own folder; so a study
that was cut off ends where an uninterrupted one ends.
"""

STORAGE = "RMTL_SEARCH_STORAGE"
"""Variable with the database that the workers of a study share, e.g. `postgresql+psycopg://...`; it is a secret."""

NME = "val/nme_interocular"
MACRO_F1 = "val/macro_f1"

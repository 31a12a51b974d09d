"""Where the steps find each other's files, relative to the folder that holds params.yaml."""

from pathlib import Path

DATA = Path("data")
ARTIFACTS = Path("artifacts")
REPORTS = Path("reports")

MANIFEST = ARTIFACTS / "manifest.parquet"
VALID_MANIFEST = ARTIFACTS / "manifest.valid.parquet"
QUARANTINE = ARTIFACTS / "quarantine.csv"
SHARDS = ARTIFACTS / "shards"
TRAIN = ARTIFACTS / "train"
PREDICTIONS = ARTIFACTS / "predictions.parquet"
CHAMPION = ARTIFACTS / "champion"
SERVE = ARTIFACTS / "serve"
DEPLOYED = ARTIFACTS / "deployed"
CANARY = ARTIFACTS / "canary"
SEARCH = ARTIFACTS / "search"
AUDIT = ARTIFACTS / "audit"

DATA_DOCS = REPORTS / "data_docs"
VALIDATION = REPORTS / "validation.json"
EVALUATION = REPORTS / "evaluation.json"
REGISTRATION = REPORTS / "registration.json"
DEPLOYMENT = REPORTS / "deployment.json"
AUDIT_REPORT = REPORTS / "audit.json"
AUDIT_SHEET = REPORTS / "audit.png"
SEARCH_REPORT = REPORTS / "search.json"

PUBLISHED_WEIGHTS = Path("weights")

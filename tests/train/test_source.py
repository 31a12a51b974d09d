"""The list of sources that decide the weights holds whatever training imports."""

import subprocess
import sys

from model import source

MODULES = """
import sys
import model.train.__main__
print(*[module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "model"], sep="\\n")
"""
LAYERS = ("model/data/", "model/evaluation/", "model/net/", "model/train/", "model/schema.py")
# Imported beside what training uses: how shards are written, and metrics of reports.
NOT_DECIDING = {"model/data/manifest.py", "model/evaluation/bootstrap.py", "model/evaluation/metrics.py"}


def imported_by_training() -> set[str]:
    found = subprocess.run(
        [sys.executable, "-c", MODULES], cwd=source.ROOT, capture_output=True, text=True, check=True, timeout=120
    ).stdout.splitlines()
    names = {path.removeprefix(f"{source.ROOT}/") for path in found}
    assert "model/train/loop.py" in names
    return {name for name in names if name.startswith(LAYERS) and not name.endswith("__init__.py")}


def test_every_module_that_training_imports_counts_or_is_known_not_to_decide():
    imported = imported_by_training()
    assert {name for name in imported if not name.startswith(source.TRAINING)} == NOT_DECIDING


def test_every_counted_source_is_there():
    assert all((source.ROOT / name).exists() for name in source.TRAINING)

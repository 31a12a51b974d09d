#!/usr/bin/env bash
# The whole chain on the bundled sample: data, training, registry, archive, endpoint, one served answer.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

say "1/6 Pull the sample benchmark"
rmtl data pull

say "2/6 Index, validate, shard, train, evaluate, register, package"
dvc repro

say "3/6 Promote the challenger to champion"
rmtl promote --why "make demo"

say "4/6 Start the endpoint"
trap 'rmtl deploy --stop >/dev/null' EXIT
rmtl deploy
url=$(python -c 'import json; print(json.load(open("reports/deployment.json"))["url"])')

say "5/6 Ask it about a face"
python -m benchmarks.sample_face artifacts/demo/face.png
rmtl predict artifacts/demo/face.png --url "$url" --draw artifacts/demo/drawn --out artifacts/demo/answer.jsonl

say "6/6 The served answer, and the metrics on the test split (percent)"
python -m benchmarks.demo_answer artifacts/demo/answer.jsonl reports/evaluation.json
echo
echo "report          reports/evaluation.html"
echo "data docs       reports/data_docs/index.html"
echo "picture         artifacts/demo/drawn/face.png"
echo "runs            mlflow ui --backend-store-uri sqlite:///mlflow.db"

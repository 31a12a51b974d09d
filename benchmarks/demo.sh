#!/usr/bin/env bash
# The whole chain on the bundled sample: data, training, registry, archive, endpoint, one served answer; last a photograph.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

say "1/7 Pull the sample benchmark"
rmtl data pull

say "2/7 Index, validate, shard, train, evaluate, register, package"
dvc repro

say "3/7 Promote the challenger to champion"
rmtl promote --why "make demo"

say "4/7 Start the endpoint"
rmtl deploy
trap 'rmtl deploy --stop >/dev/null' EXIT
url=$(python -c 'import json; print(json.load(open("reports/deployment.json"))["url"])')

say "5/7 Ask it about a face"
python -m benchmarks.sample_face artifacts/demo/face.png
rmtl predict artifacts/demo/face.png --url "$url" --draw artifacts/demo/drawn --out artifacts/demo/answer.jsonl

say "6/7 The served answer, and the metrics on the test split (percent)"
python -m benchmarks.demo_answer artifacts/demo/answer.jsonl reports/evaluation.json

say "7/7 A photograph (NASA, public domain) and the published weights, or those of above where none are published"
rmtl predict artifacts/demo/astronaut.png --draw reports --out artifacts/demo/astronaut.jsonl
python -m benchmarks.demo_answer artifacts/demo/astronaut.jsonl
echo
echo "report          reports/evaluation.html"
echo "data docs       reports/data_docs/index.html"
echo "pictures        artifacts/demo/drawn/face.png reports/astronaut.png"
echo "runs            mlflow ui --backend-store-uri sqlite:///mlflow.db"

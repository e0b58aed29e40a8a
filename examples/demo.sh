#!/bin/sh
# The demo's main job, as the README explains it. One Commit fails on purpose, so exit code 3 is the expected end.
set -u
out=$1
if [ "${GENERATE:-}" = 1 ]; then
  echo "Writing the tests with a language model (GENERATE=1)"
  python examples/generate_manifest.py examples/demo.yaml "$out.generate.yaml" || exit 2
  isobench run "$out.generate.yaml" --out "$out"
  code=$?
else
  isobench run examples/demo.yaml --out "$out"
  code=$?
fi
case $code in
  0 | 3) echo "Dataset: $out/dataset.jsonl   Report: $out/report.html" ;;
  *) exit $code ;;
esac
if [ "${GENERATE:-}" != 1 ] && [ $code != 3 ]; then
  echo "packaging-22 should have failed with BehaviourChanged and did not" >&2
  exit 1
fi

"""`helm test`: the API server serves our kinds, and the operator answers /healthz and has metrics. Prints what it saw."""

import json
import os
import ssl
import sys
import urllib.request
from pathlib import Path

FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
API = "https://{KUBERNETES_SERVICE_HOST}:{KUBERNETES_SERVICE_PORT}/apis/isobench.dev/v1alpha1".format_map(os.environ)
HOST = os.environ.get("ISOBENCH_OPERATOR_SERVICE_HOST", "isobench-operator")
KINDS = {"commits", "datasets"}

trust = ssl.create_default_context(cafile=str(FOLDER / "ca.crt"))
asked = urllib.request.Request(API, headers={"Authorization": f"Bearer {(FOLDER / 'token').read_text()}"})
with urllib.request.urlopen(asked, timeout=10, context=trust) as answer:
    served = {one["name"] for one in json.load(answer)["resources"]}
if not served >= KINDS:
    sys.exit(f"the API server does not serve {', '.join(sorted(KINDS - served))}: is crds.enabled false?")
print("the API server serves", ", ".join(sorted(KINDS)))
with urllib.request.urlopen(f"http://{HOST}:8080/healthz", timeout=10) as answer:
    print("/healthz:", answer.status)
with urllib.request.urlopen(f"http://{HOST}:{os.environ['METRICS_PORT']}/metrics", timeout=10) as answer:
    found = [line for line in answer.read().decode().splitlines() if line.startswith("isobench_build_info{")]
if not found:
    sys.exit("/metrics has no isobench_build_info: something else answers on that port")
print(found[0])

"""`helm test`: the API server serves our kinds, and the operator answers /healthz and has metrics. Prints what it saw."""

import json
import os
import ssl
import sys
import urllib.request
from pathlib import Path

FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SERVER = os.environ["KUBERNETES_SERVICE_HOST"]
API = f"https://{f'[{SERVER}]' if ':' in SERVER else SERVER}:{os.environ['KUBERNETES_SERVICE_PORT']}/apis/isobench.dev/v1alpha1"
# By the variables of the Service, which need no DNS.
HOST = os.environ.get("ISOBENCH_OPERATOR_SERVICE_HOST", "isobench-operator")
HEALTH = os.environ.get("ISOBENCH_OPERATOR_SERVICE_PORT_HEALTH", "8080")
METRICS = os.environ.get("ISOBENCH_OPERATOR_SERVICE_PORT_METRICS", os.environ["METRICS_PORT"])
KINDS = {"commits", "datasets"}
TRUST = ssl.create_default_context(cafile=str(FOLDER / "ca.crt"))


def read(url: str, remedy: str, **headers: str) -> str:
    """The body of an answer; ends the test in words where there is none."""
    context = TRUST if url.startswith("https") else None
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=10, context=context
        ) as answer:
            return answer.read().decode()
    except OSError as error:
        sys.exit(f"{url} did not answer: {error}\n{remedy}")


kinds = read(API, "Are the definitions there? crds.enabled", Authorization=f"Bearer {(FOLDER / 'token').read_text()}")
served = {one["name"] for one in json.loads(kinds)["resources"]}
if not served >= KINDS:
    sys.exit(f"the API server does not serve {', '.join(sorted(KINDS - served))}: set crds.enabled, or apply crds/")
print("the API server serves", ", ".join(sorted(KINDS)))
read(f"http://{HOST}:{HEALTH}/healthz", "Is the operator running? kubectl logs deploy/isobench-operator")
print("the operator is healthy")
metrics = read(f"http://{HOST}:{METRICS}/metrics", "Is the operator running? kubectl logs deploy/isobench-operator")
found = [line for line in metrics.splitlines() if line.startswith("isobench_build_info{")]
if not found:
    sys.exit("/metrics has no isobench_build_info: something else answers on that port")
print(found[0])

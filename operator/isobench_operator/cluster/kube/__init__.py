"""The Cluster protocol on a real API server: the one package that imports a Kubernetes client, and only its asynchronous one.

`login` finds the server, `api` sends a request and turns what goes wrong into words, `cluster` is the protocol.
"""

from .api import Api, Observer
from .cluster import KubeCluster
from .login import Credentials, Login, LoginError

__all__ = ["Api", "Credentials", "KubeCluster", "Login", "LoginError", "Observer"]

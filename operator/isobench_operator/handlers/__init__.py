"""Kopf's part: watching, logging in, reconnecting, starting and stopping. Handlers only wake the queue; nothing is decided or retried here.

`on.event` alone writes nothing to the objects that it watches: no annotation, no finalizer.
"""

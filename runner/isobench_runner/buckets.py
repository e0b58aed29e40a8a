"""The artifact store behind an URL, by obstore. Imported only where the store is one: a laptop needs no client of object stores."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import from_url

from .places import BLOCK, FRESH_SECONDS, Found, UnreachableError, whole


class Bucket:
    """A prefix of a bucket behind an URL: `s3://bucket/prefix`, `gs://…`, `az://…`.

    Creating relies on the server's conditional write (`If-None-Match: *`), which S3, MinIO and Ceph have.
    """

    def __init__(self, url: str) -> None:
        """Open the place; address, region and credentials are what the provider's own variables say (AWS_ENDPOINT_URL, …).

        Raises:
            UnreachableError: the URL or a variable cannot be used.
        """
        self.url = url.rstrip("/")
        # An endpoint without TLS is somebody's own, inside of a cluster.
        plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
        with self._asking():
            self._bucket = from_url(self.url, client_options={"allow_http": plain, "timeout": "300s"})

    def __str__(self) -> str:
        return self.url

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except BaseError as error:
            words = " ".join(str(error).split())[:500]
            raise UnreachableError(
                f"{self.url} cannot be used: {words}; check artifacts.url, AWS_ENDPOINT_URL and the keys in artifacts.credentialsSecret"
            ) from error

    def read(self, name: str) -> bytes:
        with self._asking():
            return bytes(self._bucket.get(name).bytes())

    def write(self, name: str, content: BinaryIO) -> None:
        with self._asking():
            self._bucket.put(name, content)

    def create(self, name: str, content: bytes) -> bool:
        with self._asking():
            try:
                self._bucket.put(name, content, mode="create")
            except (AlreadyExistsError, PreconditionError):
                return False
        return True

    def download(self, name: str, target: Path) -> None:
        with self._asking():
            blocks = self._bucket.get(name).stream(min_chunk_size=4 * BLOCK)
            with whole(target) as file:
                for block in blocks:
                    file.write(block)

    def exists(self, name: str) -> bool:
        with self._asking():
            try:
                self._bucket.head(name)
            except FileNotFoundError:
                return False
        return True

    def written(self, name: str) -> float | None:
        with self._asking():
            try:
                found: float = self._bucket.head(name)["last_modified"].timestamp()
            except FileNotFoundError:
                return None
        return found

    def fresh(self, name: str) -> bool:
        written = self.written(name)
        return written is not None and time.time() - written <= FRESH_SECONDS

    def remove(self, name: str) -> None:
        with self._asking(), contextlib.suppress(FileNotFoundError):
            self._bucket.delete(name)

    def beside(self, folder: str) -> Bucket:
        return Bucket(f"{self.url.rpartition('/')[0]}/{folder}")

    def files(self, prefix: str) -> Iterator[Found]:
        with self._asking():
            for page in self._bucket.list(prefix):
                for one in page:
                    yield Found(one["path"], one["size"], one["last_modified"].timestamp())

    def unfinished(self) -> Iterator[Found]:
        """None: what was not sent to its end is the bucket's own, to be ended by a rule of its life cycle."""
        return iter(())

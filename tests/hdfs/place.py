"""A folder of HDFS, reached through its web interface: Hadoop's own code reads and writes."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from examples.hdfs.cluster import Cluster


class HdfsPlace:
    """The folder `path` of a cluster, asked of one of its NameNodes."""

    def __init__(self, cluster: Cluster, path: str, namenode: str = "nn0") -> None:
        self.folder = f"{cluster.url}{path}"
        self.path = path
        self._web = f"http://{cluster.web_address(namenode)}/webhdfs/v1"

    def write(self, name: str, data: bytes, **options: str) -> None:
        how = {"overwrite": "true", "noredirect": "true", **options}
        answer = self._request("PUT", name, "CREATE", **how)
        request = Request(json.loads(answer)["Location"], data, method="PUT")
        request.add_header("Content-Type", "application/octet-stream")
        with urlopen(request, timeout=30):
            pass

    def write_folder(self, folder: Path, **options: str) -> None:
        """Write the files of a local folder."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.write(str(path.relative_to(folder)), path.read_bytes(), **options)

    def read(self, name: str) -> bytes:
        return self._request("GET", name, "OPEN")

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with all that is in it."""
        assert json.loads(self._request("DELETE", name, "DELETE", recursive="true"))["boolean"]

    def change(self, action: str, **options: object) -> None:
        """Make the folder, or change what holds for it, e.g. its permission."""
        self._request("PUT", "", action, **{key: str(value) for key, value in options.items()})

    def names(self) -> list[str]:
        try:
            return sorted(self._below(""))
        except HTTPError as error:
            if error.code == 404:
                return []
            raise

    def status(self, name: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._request("GET", name, "GETFILESTATUS"))
        return dict(answer["FileStatus"])

    def _below(self, folder: str) -> list[str]:
        found: list[str] = []
        answer = json.loads(self._request("GET", folder, "LISTSTATUS"))
        for entry in answer["FileStatuses"]["FileStatus"]:
            name = f"{folder}/{entry['pathSuffix']}".lstrip("/")
            found += self._below(name) if entry["type"] == "DIRECTORY" else [name]
        return found

    def _request(self, method: str, name: str, action: str, **options: str) -> bytes:
        query = urlencode({"op": action, "user.name": getpass.getuser(), **options})
        path = quote(f"{self.path}/{name}".rstrip("/"))
        try:
            with urlopen(Request(f"{self._web}{path}?{query}", method=method), timeout=30) as found:
                data: bytes = found.read()
        except HTTPError as error:
            error.msg = f"{error.msg}: {error.read().decode(errors='replace')}"
            raise
        return data

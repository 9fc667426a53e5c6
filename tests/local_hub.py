"""A hub of models on this machine: what `huggingface_hub` asks of the real one, answered from folders."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class LocalHub:
    """Serves `models`, folders by their names, under `url`; `fetched` names the files that were sent."""

    def __init__(self, models: dict[str, Path], url: str = "") -> None:
        self.models, self.url = models, url
        self.fetched: list[str] = []


@contextmanager
def local_hub(models: dict[str, Path]) -> Iterator[LocalHub]:
    """A hub that answers until the block ends."""
    hub = LocalHub(models)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: LocalHub

    def do_GET(self) -> None:
        self._answer(sends=True)

    def do_HEAD(self) -> None:
        self._answer(sends=False)

    def _answer(self, *, sends: bool) -> None:
        asked = unquote(urlsplit(self.path).path).strip("/")
        path = asked.removeprefix("api/models/")
        name = next((name for name in self.hub.models if f"{path}/".startswith(f"{name}/")), "")
        if not name:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, sends=sends)
            return
        rest = path.removeprefix(name).strip("/").split("/", 2)
        kind, revision, file = [*rest, "", "", ""][:3]
        if revision not in ("main", "v1", COMMIT):
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, sends=sends)
        elif path != asked:
            self._send(200, json.dumps(self._about(name, kind)).encode(), {}, sends=sends)
        else:
            self._file(self.hub.models[name] / file, sends=sends)

    def _about(self, name: str, kind: str) -> object:
        folder = self.hub.models[name]
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        names = [path.relative_to(folder).as_posix() for path in files]
        if kind == "tree":
            sizes = [path.stat().st_size for path in files]
            return [
                {"type": "file", "path": path, "size": size, "oid": ""} for path, size in zip(names, sizes, strict=True)
            ]
        return {"id": name, "sha": COMMIT, "siblings": [{"rfilename": path} for path in names]}

    def _file(self, path: Path, *, sends: bool) -> None:
        if not path.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"}, sends=sends)
            return
        if sends:
            self.hub.fetched.append(path.name)
        content = path.read_bytes()
        etag = f'"{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"'
        self._send(200, content, {"ETag": etag, "X-Repo-Commit": COMMIT}, sends=sends)

    def _send(self, status: int, content: bytes, headers: dict[str, str], *, sends: bool) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if sends:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing of a request, which would otherwise stand among a test's output."""

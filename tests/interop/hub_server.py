"""A hub on this machine, asked by the requests of huggingface_hub; its repositories are in memory."""

import base64
import json
import re
from hashlib import sha1
from http.server import BaseHTTPRequestHandler
from typing import ClassVar
from urllib.parse import unquote, urlsplit

Files = dict[str, bytes]
HOME = "https://huggingface.co"
TOKEN = "secret"
GET = r"/(?:api/models/)?([^/]+/[^/]+)/(revision|tree|resolve)/([^/]+)/?(.*)"
POST = r"/api/models/([^/]+/[^/]+)/(branch|preupload|commit)/(.+)"


def commit_of(files: Files) -> str:
    """Return what stands for a commit: 40 digits that follow from its files."""
    return sha1(repr(sorted(files.items())).encode()).hexdigest()


class Hub(BaseHTTPRequestHandler):
    """Takes small files for models, and hands them out."""

    protocol_version = "HTTP/1.1"
    made: ClassVar[list[dict[str, str]]] = []
    branches: ClassVar[dict[tuple[str, str], Files]] = {}

    def do_POST(self) -> None:
        """Make a repository or a branch, and take files."""
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        place = unquote(urlsplit(self.path).path)
        found = re.fullmatch(POST, place)
        name, what, branch = found.groups() if found else ("", place, "")
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self.answer({"error": "Invalid username or password."}, 401)
        if what == "/api/repos/create":
            self.made.append(json.loads(sent))
            name = "{organization}/{name}".format(**self.made[-1])
            is_new = (name, "main") not in self.branches
            self.branches.setdefault((name, "main"), {})
            return self.answer({"url": f"{HOME}/{name}"}, 200 if is_new else 409)
        if what == "branch":
            self.branches.setdefault((name, branch), {})
        files = self.branches.get((name, branch), {} if not found else None)
        if files is None:
            return self.answer({"error": "Invalid rev id"}, 404)
        if what == "preupload":
            paths = [each["path"] for each in json.loads(sent)["files"]]
            rows = [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in paths]
            return self.answer({"files": rows})
        if what == "commit":
            values = [each["value"] for each in map(json.loads, sent.splitlines())]
            files.update(
                (each["path"], base64.b64decode(each["content"]))
                for each in values
                if "path" in each
            )
        commit = commit_of(files)
        return self.answer({"commitUrl": f"{HOME}/{name}/commit/{commit}", "commitOid": commit})

    def do_GET(self) -> None:
        """Say what a branch or a commit holds, and hand out its files."""
        known = {(name, commit_of(files)): files for (name, _), files in self.branches.items()}
        found = re.fullmatch(GET, unquote(urlsplit(self.path).path))
        name, what, revision, path = found.groups() if found else ("",) * 4
        files = (known | self.branches).get((name, revision))
        if files is None:
            return self.answer({"error": "Not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        if what == "resolve":
            digest = sha1(files[path]).hexdigest()
            return self.answer(files[path], 200, {"ETag": digest, "X-Repo-Commit": revision})
        if what == "tree":
            rows = [(each, len(data), sha1(data).hexdigest()) for each, data in files.items()]
            return self.answer(
                [{"type": "file", "path": p, "size": n, "oid": o} for p, n, o in rows]
            )
        return self.answer({"id": name, "sha": commit_of(files), "siblings": []})

    def do_HEAD(self) -> None:
        """Say what `do_GET` would, without the file."""
        self.do_GET()

    def answer(
        self, what: object, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        """Send a file or JSON."""
        body = what if isinstance(what, bytes) else json.dumps(what).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

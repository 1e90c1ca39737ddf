"""What the server of ``hub_server`` does with uploads: repositories that are made, commits, large files, tags."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from tests.hub_server import Handler

LARGE = ".parquet"
"""What ``preupload`` has stored as a large file."""


def post(handler: Handler, content: bytes) -> Any:
    from tests.hub_server import Refusal, Repository, oid

    hub, path = handler.hub, unquote(urlsplit(handler.path).path)
    if path == "/api/validate-yaml":
        assert json.loads(content)["content"].startswith("---\n")
        return {"warnings": [], "errors": []}
    if hub.writer is None or handler.headers.get("Authorization") != f"Bearer {hub.writer}":
        raise Refusal(401 if "Authorization" not in handler.headers else 403, "", "You may not write here")
    if path == "/api/repos/create":
        asked = json.loads(content)
        name = f"{asked['organization']}/{asked['name']}"
        assert asked["type"] == "dataset"
        if name in hub.repositories:
            raise Refusal(409, says={"url": f"{hub.url}/datasets/{name}"})
        hub.repositories[name] = Repository(token=hub.writer if asked.get("visibility") == "private" else None)
        hub.repositories[name].commit({".gitattributes": b"*.parquet filter=lfs\n"})
        return {"url": f"{hub.url}/datasets/{name}"}
    if re.fullmatch(r"/datasets/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
        objects = [_action(hub, one) for one in json.loads(content)["objects"]]
        return {"transfer": "basic", "objects": objects}
    found = re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/(preupload|commit|tag)/([^/]+)", path)
    if found is None:
        raise Refusal(404)
    repository = handler.repository(found[1])
    commit = handler.commit(repository, found[3])
    if found[2] == "preupload":
        files = repository.commits[commit]
        return {
            "files": [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if one["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                    "oid": oid(files[one["path"]]) if one["path"] in files else None,
                }
                for one in json.loads(content)["files"]
            ]
        }
    if found[2] == "tag":
        tag = json.loads(content)["tag"]
        if tag in repository.tags:
            raise Refusal(409)
        repository.tags[tag] = commit
        return {}
    files = dict(repository.commits[commit])
    for line in map(json.loads, content.splitlines()):
        value = line["value"]
        match line["key"]:
            case "header":
                repository.messages.append(value["summary"])
            case "file":
                files[value["path"]] = base64.b64decode(value["content"])
            case "lfsFile":
                files[value["path"]] = hub.stored[value["oid"]]
            case "deletedFile":
                del files[value["path"]]
            case key:
                raise AssertionError(key)
    new = repository.commit(files)
    return {"commitUrl": f"{hub.url}/datasets/{found[1]}/commit/{new}", "commitOid": new}


def put(handler: Handler, content: bytes) -> Any:
    digest = handler.path.rpartition("/")[2]
    assert hashlib.sha256(content).hexdigest() == digest
    handler.hub.stored[digest] = content
    return {}


def _action(hub: Any, one: dict[str, Any]) -> dict[str, Any]:
    if one["oid"] in hub.stored:
        return one
    return one | {"actions": {"upload": {"href": f"{hub.url}/lfs/{one['oid']}"}}}

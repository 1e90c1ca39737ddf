"""results/dataset as a data set of the Hugging Face Hub: what is sent, and sending it."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from stages import hub
from stages.dataset.card import LICENCE
from stages.dataset.columns import CONFIGS
from stages.errors import GlossaError, said
from stages.outputs import dumps

KIND = "dataset"
CARD = "README.md"
CROISSANT = "croissant.json"

Files = dict[str, Path | bytes]
"""By their paths in the repository."""


class Published(NamedTuple):
    """What came of it."""

    url: str
    """Of the data set."""
    commit: str
    files: int
    """That the data set has now, but for those of others."""


def prepared(folder: Path, licence: str | None = None, without: Collection[str] = ()) -> Files:
    """Returns what is sent of ``folder``: all of it, or all but some configurations, with a licence in card and description if one is named.

    Raises:
        GlossaError: there is no data set, or its card or description can't be read.
    """
    for name in (CARD, CROISSANT):
        if not (folder / name).is_file():
            raise GlossaError(
                f"expected the data set in {folder}, but there is no {name}; run dvc repro, or dvc pull {folder}"
            )
    left_out = tuple(f"{config}/" for config in without)
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    files: Files = {name: folder / name for name in names if not name.startswith(left_out)}
    if licence is not None or without:
        files[CARD] = _card((folder / CARD).read_text("utf-8"), licence, without).encode()
        files[CROISSANT] = _croissant(json.loads((folder / CROISSANT).read_bytes()), licence, left_out).encode()
    return files


def _card(text: str, licence: str | None, without: Collection[str]) -> str:
    yaml = YAML()
    yaml.default_flow_style = False
    _, front, body = text.split("---\n", 2)
    facts = yaml.load(front)
    facts["configs"] = [config for config in facts["configs"] if config["config_name"] not in without]
    if licence is not None:
        facts["license"] = licence
        facts.pop("license_name", None)
        body = body.replace(LICENCE, stated(licence))
    if without:
        names = " and ".join(f"`{name}`" for name in without)
        body = body.replace(
            "\n## Limits\n", f"\n## Left out\n\n{names}: not part of what was published here.\n\n## Limits\n", 1
        )
    stream = io.StringIO()
    yaml.dump(facts, stream)
    return f"---\n{stream.getvalue()}---\n{body}"


def stated(licence: str) -> str:
    """What card and description say of a licence."""
    return (
        f"{licence}, for what whoever published these data may license. The windows in `examples` quote the corpus, whose text belongs to its authors and keeps their "
        "licences; subject, sparse coders and the language models that wrote the explanations have licences of their own."
    )


def _croissant(found: dict[str, Any], licence: str | None, left_out: tuple[str, ...]) -> str:
    for part in ("distribution", "recordSet"):
        found[part] = [one for one in found[part] if not one["@id"].startswith(left_out)]
    if licence is not None:
        found["license"] = stated(licence)
    return dumps(found)


def send(repository: str, files: Mapping[str, Path | bytes], private: bool, tag: str | None, message: str) -> Published:
    """Makes ``repository`` on the Hub unless it is there, and has ``files`` be all that it has of this data set, in one commit.

    Files of others, such as ``.gitattributes``, stay; what an earlier version had in the folders of configurations goes.

    Raises:
        GlossaError: the Hub can't be reached, or refuses it.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.errors import HTTPError

    api = HfApi()
    try:
        url = api.create_repo(repository, repo_type=KIND, private=private, exist_ok=True)
        there = api.list_repo_files(repository, repo_type=KIND)
        ours = tuple(f"{config}/" for config in CONFIGS)
        gone = [name for name in there if name.startswith(ours) and name not in files]
        commit = api.create_commit(
            repository,
            [
                *(CommitOperationAdd(name, content) for name, content in files.items()),
                *(CommitOperationDelete(name) for name in gone),
            ],
            commit_message=message,
            repo_type=KIND,
        )
        if tag is not None:
            api.create_tag(repository, tag=tag, revision=commit.oid, repo_type=KIND)
    except (OSError, ValueError, RuntimeError, HTTPError) as error:
        raise GlossaError(
            f"{repository} should be a data set on the Hub that may be written to, but: {refused(error, repository) or said(error.__cause__ or error)}"
        ) from None
    return Published(str(url), commit.oid, len(files))


def refused(error: BaseException, repository: str) -> str | None:
    """Returns why the Hub did not take it, and what to do, if ``error`` came from talking to it."""
    from huggingface_hub import constants, errors

    if isinstance(error, errors.HfHubHTTPError):
        status, owner = error.response.status_code, repository.partition("/")[0]
        if status in (401, 403):
            return f"{constants.ENDPOINT} lets nobody write there with the token in use ({status}); give one that may write for {owner} {hub.TOKEN}"
        if status == 409:
            return "it has that tag already, or was changed meanwhile (409); name another tag, or run it again"
    return hub.reason(error, repository, None)

"""Files of the Hugging Face Hub: fetched into its cache, checked, and pinned to a commit.

The library's own environment variables hold: ``HF_TOKEN``, ``HF_HOME``, ``HF_ENDPOINT``, ``HF_HUB_OFFLINE``.
"""

from __future__ import annotations

import glob
import hashlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from stages.errors import GlossaError, nearest, said

SCHEME = "hub://"
ADDRESS = re.compile(r"hub://(?P<repository>[^/@\s]+/[^/@\s]+)(?:/(?P<inside>[^@]*))?(?:@(?P<revision>\S+))?")
TOKEN = "in HF_TOKEN or by hf auth login"
WEIGHTS = (".safetensors", ".npz", ".pt", ".pth")
SMALL = (".json", ".yaml", ".yml")
"""What configs end with."""
OWN = ("sae.safetensors", "sae_weights.safetensors", "params.safetensors", "params.npz", "ae.pt", "model.safetensors")
"""The names that formats of one coder a folder give its weights; what lies beside them is something else."""
CHECKPOINTS = "checkpoints"
"""The one folder inside a coder's that belongs to it."""
SHOWN = 12
"""Folders that a message lists."""


class Fetched(NamedTuple):
    """A file or folder of a repository, as it lies in the local cache."""

    path: Path
    repository: str
    commit: str
    inside: str
    """Where it lies in the repository; empty for all of it."""


def fetch(address: str) -> Fetched:
    """Fetches ``hub://owner/repository/folder@revision``, unless it is in the cache: a folder with its files, or a file.

    Of a folder the configs are fetched, and the names of its files listed, before any weights are: those of one coder, or none. Of the folders inside a folder only ``checkpoints`` counts. Beside a file its YAML and JSON neighbours are fetched, and of
    one in ``checkpoints`` those of that folder. Without a revision it is ``main``. Every file is checked against its hash.

    Raises:
        GlossaError: the address is none, what it names is not there or may not be read, holds the weights of several coders, or the
            download is damaged.
    """
    match = ADDRESS.fullmatch(address)
    if match is None or ".." in PurePosixPath(address).parts:
        raise GlossaError(f"expected an address like hub://owner/repository/folder@revision, found {address}")
    repository, revision = match["repository"], match["revision"] or "main"
    inside = (match["inside"] or "").strip("/")
    folder = f"{glob.escape(inside)}/" if inside else ""
    small = [f"{folder}*{end}" for end in SMALL]
    snapshot = _snapshot(
        address, repository, revision, [glob.escape(inside), *small] if inside else small, [f"{folder}*/*"]
    )
    path = snapshot / inside
    if path.is_file():
        files = [path, *_fetch_partner(address, repository, snapshot, inside)]
        parents = PurePosixPath(inside).parents
        for parent in parents[:2] if parents[0].name == CHECKPOINTS else parents[:1]:
            place = "" if parent == PurePosixPath() else f"{glob.escape(str(parent))}/"
            _snapshot(address, repository, snapshot.name, [f"{place}*.yaml", f"{place}*.json"], [f"{place}*/*"])
            files += [file for end in ("yaml", "json") for file in (snapshot / parent).glob(f"*.{end}")]
    else:
        cached = any((path / name).is_file() for name in OWN)
        weights = [] if cached else map(glob.escape, _weights(address, repository, snapshot.name, inside))
        _snapshot(address, repository, snapshot.name, [*weights, f"{folder}{CHECKPOINTS}/*.safetensors"], [])
        files = [file for file in path.rglob("*") if file.is_file()]
    if not path.exists():
        at = f"{inside} at commit {snapshot.name}"
        found = coders_inside(repository, snapshot.name, inside)
        if found and not inside:
            raise GlossaError(
                f"expected one sparse coder in {address}, found some in folders inside it; point at one of {found}"
            )
        if found:
            raise GlossaError(f"{repository} has only folders in {at}; point at one of {found}")
        known = _known(repository, snapshot.name)
        raise GlossaError(f"{repository} has no {at}; {nearest(inside, known) if known else 'correct the path'}")
    for file in files:
        _check(file, address)
    return Fetched(path, repository, snapshot.name, inside)


def _weights(address: str, repository: str, commit: str, inside: str) -> list[str]:
    """The files of a folder that are the weights of its one coder, found by their names before any of them is fetched."""
    within = PurePosixPath(inside)
    names = [PurePosixPath(name) for name in _files(repository, commit)]
    if not names:  # nothing can be asked, so what lies in the cache is all there is
        return []
    here = [name for name in names if name.parent == within and name.suffix in WEIGHTS]
    if own := [name for name in here if name.name in OWN]:
        return list(map(str, own))
    if len(here) > 1:
        found = sorted((name.name for name in here), key=_by_number)
        shown = ", ".join(found[:SHOWN]) + (", …" if len(found) > SHOWN else "")
        raise GlossaError(
            f"{address} holds {len(here)} files of weights, and a coder is in one; nothing of them was fetched, so point at one, such as "
            f"{SCHEME}{repository}/{within / found[0]}, of {shown}"
        )
    return list(map(str, here))


def _fetch_partner(address: str, repository: str, snapshot: Path, inside: str) -> list[Path]:
    """The decoder that lies in a file of its own beside the encoder of a layer of a cross-layer transcoder."""
    place = PurePosixPath(inside)
    if not place.name.startswith("W_enc_"):
        return []
    partner = place.with_name(place.name.replace("W_enc_", "W_dec_", 1))
    _snapshot(address, repository, snapshot.name, [glob.escape(str(partner))], [])
    return [snapshot / partner] if (snapshot / partner).is_file() else []


def pin(repository: str, revision: str | None) -> str:
    """Returns the commit that ``revision`` (a branch, a tag, a commit; ``main`` if None) of a model now names.

    What goes wrong is raised as the client library does; ``reason`` puts it into words.
    """
    return _with_config(repository, revision).name


def snapshot(repository: str, commit: str) -> Path:
    """Returns the folder of what has been fetched of a commit that ``pin`` returned."""
    return _with_config(repository, commit)


def _with_config(repository: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(repository, revision=revision, allow_patterns=["config.json"]))


def reason(error: BaseException, repository: str, revision: str | None) -> str | None:
    """Returns why ``repository`` could not be fetched, and what to do, if ``error`` came from talking to the Hub."""
    from huggingface_hub import constants, errors

    chain = list(_chain(error))

    def of(kind: type[BaseException]) -> BaseException | None:
        return next((link for link in chain if isinstance(link, kind)), None)

    if of(errors.GatedRepoError):
        return f"{repository} is gated; accept its terms on {constants.ENDPOINT}/{repository}, and give that account's token {TOKEN}"
    if of(errors.RevisionNotFoundError):
        return f"{repository} has no revision {revision}; name a branch, a tag or a commit that it has"
    if of(errors.RepositoryNotFoundError):
        return (
            f"{constants.ENDPOINT} has no repository {repository}, or it is private; correct the name, or give a token that may "
            f"read it {TOKEN}"
        )
    if of(errors.HFValidationError):
        return f"{repository} is neither a folder here nor the name of a repository"
    if of(errors.RemoteEntryNotFoundError):
        return f"{repository} lacks a file that it should have: {said(error)}"
    answer = of(errors.HfHubHTTPError)
    if isinstance(answer, errors.HfHubHTTPError):
        status = answer.response.status_code
        if status in (401, 403):
            return (
                f"{constants.ENDPOINT} refuses the token in use ({status}); give one that may read {repository} {TOKEN}"
            )
        return f"{constants.ENDPOINT} answered {status}; try again later"
    if any("Consistency check failed" in str(link) for link in chain):
        return "the download ended early, and nothing of it was kept; run again"
    if of(errors.LocalEntryNotFoundError) or of(errors.OfflineModeIsEnabled) or of(errors.HTTPError):
        if constants.HF_HUB_OFFLINE:
            return f"{repository} is not in the local cache, and HF_HUB_OFFLINE keeps it from being fetched; unset that"
        return (
            f"{repository} is not in the local cache, and {constants.ENDPOINT} can't be reached; connect, and run again"
        )
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """``error`` and what led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _snapshot(address: str, repository: str, revision: str, allowed: list[str], ignored: list[str]) -> Path:
    """Fetches the files that match; returns the folder of the commit."""
    from huggingface_hub import errors, snapshot_download

    # It warns when nothing matches, which is nothing to warn about here, or is said in our own words.
    logging.getLogger("huggingface_hub._snapshot_download").setLevel(logging.ERROR)
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=allowed, ignore_patterns=ignored))
    except (OSError, ValueError, errors.EntryNotFoundError, errors.HTTPError) as error:
        why = reason(error, repository, revision) or said(error)
        raise GlossaError(f"{address} can't be fetched: {why}") from error


def coders_inside(repository: str, commit: str, inside: str) -> str:
    """Returns the first folders within the folder ``inside`` of a repository that hold weights, empty if none is known."""
    files = [PurePosixPath(file) for file in _files(repository, commit)]
    folders = [file.parent for file in files if file.suffix in WEIGHTS and file.is_relative_to(inside)]
    folders = [folder.parent if folder.name == CHECKPOINTS else folder for folder in folders]
    found = sorted({str(folder) for folder in folders} - {str(PurePosixPath(inside))}, key=_by_number)
    return ", ".join(found[:SHOWN]) + (", …" if len(found) > SHOWN else "")


def _by_number(name: str) -> list[tuple[str, int]]:
    """Sorts layer_2 before layer_10."""
    return [(text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", name)]


def _known(repository: str, commit: str) -> set[str]:
    """The folders and files of a repository."""
    files = [PurePosixPath(file) for file in _files(repository, commit)]
    return {str(part) for file in files for part in (file, *file.parents)} - {"."}


def _files(repository: str, commit: str) -> list[str]:
    """The names of all files of a repository; none if the Hub can't be asked."""
    from huggingface_hub import HfApi, errors

    try:
        return HfApi().list_repo_files(repository, revision=commit)
    except (OSError, errors.HTTPError):
        return []


def _check(file: Path, address: str) -> None:
    """Raises GlossaError, and takes ``file`` out of the cache, unless it has the hash by which the cache names it."""
    blob = file.resolve()
    expected = blob.name
    if not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", expected):
        return  # a cache without symbolic links keeps no hashes
    with blob.open("rb") as stream:
        if len(expected) == 64:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        else:  # a file that Git holds itself is named as Git names it
            head = hashlib.sha1(b"blob %d\0" % blob.stat().st_size, usedforsecurity=False)
            found = hashlib.file_digest(stream, lambda: head).hexdigest()
    if found != expected:
        file.unlink()
        blob.unlink(missing_ok=True)
        raise GlossaError(
            f"{file.name} of {address} should have the hash {expected[:12]}…, but {found[:12]}… was received; "
            "it was taken out of the cache, so run again"
        )

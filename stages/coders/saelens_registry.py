"""``saelens://release/sae_id``: coders by the names under which papers cite them, as the registry of the installed sae-lens resolves them.

The registry is a YAML file of 170 releases. It is read as it lies in the package, which is not imported, and of it only the release
that is asked for.
"""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from stages import hub
from stages.coders.readers import Options, files
from stages.errors import GlossaError, nearest

SCHEME = "saelens://"
ADDRESS = re.compile(r"saelens://(?P<release>[^/@\s]+)/(?P<sae_id>[^@\s]+)(?:@(?P<revision>\S+))?")
FILE = "pretrained_saes.yaml"
RELEASE = re.compile(r"^([^\s#:][^:\n]*):", re.MULTILINE)
TEMPORAL = "temporal"
NORMS = {"constant_norm_rescale": "constant_norm", "layer_norm": "layer_norm"}


class Found(NamedTuple):
    """Where a coder of the registry lies, and what the registry says of it that its files may not."""

    address: str
    """On the Hub."""
    release: str
    sae_id: str
    norm_factor: float | None
    centred: bool
    norm: Any

    def options(self, said: Options) -> Options:
        """Returns ``said`` of params.yaml, and what the registry knows where that leaves it open."""
        centre = True if self.centred and said.centre is None else said.centre
        normalise = self.norm if said.normalise is None else said.normalise
        return replace(said, listed_norm_factor=self.norm_factor, centre=centre, normalise=normalise)


def find(address: str) -> Found:
    """Looks a coder up.

    Raises:
        GlossaError: the address is none, sae-lens is not installed, or its registry has no such release or coder.
    """
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise GlossaError(f"expected an address like saelens://release/sae_id, found {address}")
    name, sae_id = match["release"], match["sae_id"].strip("/")
    path = _registry(address)
    release = _release(path, name)
    coders = {str(one["id"]): one for one in release["saes"] if isinstance(one, dict) and "id" in one}
    if sae_id not in coders:
        raise GlossaError(f"the release {name} of {path} has no coder {sae_id}; {nearest(sae_id, coders)}")
    coder, kind = coders[sae_id], release.get("conversion_func")
    if kind == TEMPORAL:
        raise GlossaError(
            f"{address} is a temporal SAE, which makes a token's latents depend on the tokens before it, as no sparse coder here does; use "
            "another"
        )
    overrides = release.get("config_overrides") or {}
    processing = overrides.get("model_from_pretrained_kwargs") or {}
    revision = f"@{match['revision']}" if match["revision"] else ""
    factor = coder.get("norm_scaling_factor")
    return Found(
        f"{hub.SCHEME}{release['repo_id']}/{_inside(str(coder.get('path', sae_id)), kind)}{revision}",
        name,
        sae_id,
        None if factor is None else files.real({"norm_scaling_factor": factor}, "norm_scaling_factor", path),
        processing.get("center_writing_weights") is True,
        NORMS.get(str(overrides.get("normalize_activations"))),
    )


def _registry(address: str) -> Path:
    spec = find_spec("sae_lens")
    for folder in spec.submodule_search_locations or () if spec else ():
        if (found := Path(folder) / FILE).is_file():
            return found
    raise GlossaError(
        f"{address} is resolved by the registry of sae-lens, which is not installed; pip install sae-lens, or give the coder's address on the "
        "Hub (hub://…)"
    )


def _release(path: Path, name: str) -> dict[str, Any]:
    """What the registry says of one release; only its part of the file is parsed, as all of it takes long."""
    from ruamel.yaml import YAML, YAMLError

    text = path.read_text(encoding="utf-8")
    starts = {match[1].strip("\"'"): match.start() for match in RELEASE.finditer(text)}
    if name not in starts:
        raise GlossaError(f"the registry of sae-lens ({path}) has no release {name}; {nearest(name, starts)}")
    end = min((start for start in starts.values() if start > starts[name]), default=len(text))
    try:
        found = next(iter(YAML(typ="safe", pure=True).load(text[starts[name] : end]).values()))
    except (YAMLError, AttributeError, StopIteration):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("saes"), list) or "repo_id" not in found:
        raise GlossaError(
            f"expected a release with repo_id and saes at {name} in {path}, found something else; install sae-lens again"
        )
    return found


def _inside(path: str, kind: Any) -> str:
    """Where the coder lies in its repository, of which the registry gives a layer's number for the loaders that need no more."""
    if kind == "mntss_clt_layer_transcoder":
        return f"W_enc_{path}.safetensors"
    return f"{path}.safetensors" if kind == "gemma_3" and "clt" in path.split("/") else path

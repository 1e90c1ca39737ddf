"""Loading the subject, and the identity of what was loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn

from stages import gguf, hub, params
from stages.errors import GlossaError, said
from stages.outputs import file_sha256, fingerprint
from stages.subject import norms, sites

T = TypeVar("T")


class Kind(NamedTuple):
    """What a module is."""

    name: str
    """Of its class."""
    normalizes: bool
    """Whether it is a LayerNorm or an RMSNorm."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A causal language model in inference mode, and the hash of all that decides its activations."""

    model: Any
    name: str
    identity: dict[str, Any]
    device: torch.device
    """Where token ids go in; with a device map, later modules may lie elsewhere."""

    @cached_property
    def base(self) -> nn.Module:
        """The model without its language-modelling head, and without what sees images; hookpoints are relative to it."""
        base = self.model.base_model
        return getattr(base, "language_model", base)

    @cached_property
    def modules(self) -> dict[str, nn.Module]:
        """The modules of the base model by their paths."""
        return {path: module for path, module in self.base.named_modules() if path}

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """What the modules of the base model are, by their paths."""
        return {
            path: Kind(type(module).__name__, norms.epsilon(module) is not None)
            for path, module in self.modules.items()
        }

    @cached_property
    def places(self) -> dict[str, sites.Place]:
        """TransformerLens' names of places in the base model; see ``sites.table``."""
        return sites.table(self.base.config, self.modules)

    @property
    def vocabulary_size(self) -> int:
        """Rows of the input embedding."""
        return self.model.get_input_embeddings().weight.shape[0]

    @property
    def limit(self) -> int | None:
        """Tokens of the longest row that it reads, if its config says."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

    def known(self, what: str, find: Callable[[], T]) -> T:
        """Returns what ``find`` finds out about this subject, JSON; a ``Lazy`` one remembers it under ``what``."""
        return find()

    def check_fits(self, context_length: int, largest_token: int) -> None:
        """Raises GlossaError if rows of ``context_length`` with ids up to ``largest_token`` can't go through it."""
        if largest_token >= self.vocabulary_size:
            raise GlossaError(
                f"the tokens go up to id {largest_token}, but the subject {self.name} embeds {self.vocabulary_size} "
                "tokens; its tokenizer belongs to another model"
            )
        if self.limit is not None and context_length > self.limit:
            raise GlossaError(
                f"corpus.context_length should be at most {self.limit}, the longest row that the subject {self.name} reads, "
                f"found {context_length}"
            )


def pick_device(name: str) -> torch.device:
    """Returns the device that runtime.yaml names, or the best one there is for ``auto``."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise GlossaError(
            f"runtime device should be one that torch can use, but {name} is not: {said(error)}"
        ) from None
    return device


def load(section: params.Subject, seed: int, device: torch.device, device_map: str | None = None) -> Subject:
    """Loads the subject; see ``causal_lm``."""
    model, commit = causal_lm(section, seed, device, device_map)
    found = identity(section, seed, commit)
    return Subject(model, found["model"], found, entrance(model))


def entrance(model: Any) -> torch.device:
    """Returns where token ids go in."""
    return model.get_input_embeddings().weight.device


def causal_lm(
    section: params.Subject, seed: int, device: torch.device, device_map: str | None = None, key: str = "subject"
) -> tuple[Any, str | None]:
    """Loads a causal language model, or builds a randomly initialised one of its shape when ``weights`` is ``random``.

    A ``device_map`` of Accelerate (``auto``, ``balanced``, ``sequential``) spreads it over all devices; otherwise it lies on
    ``device``. A revision that is a branch or a tag is resolved to its commit once, for the config and the weights alike. The
    weights of a GGUF file (``gguf.find``) are unpacked into ``dtype``.
    ``key`` is the place in params.yaml that an error names.

    Returns:
        The model in inference mode, and the commit if it comes from the Hub.

    Raises:
        GlossaError: the folder or repository can't be loaded as a causal language model, or lacks some of its weights.
    """
    from huggingface_hub.errors import HTTPError
    from safetensors import SafetensorError
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    if section.weights == "random" and section.quantization != "none":
        raise GlossaError(f"{key}.quantization needs trained weights, found weights: random; leave one out")
    try:
        with _place(section, key) as (place, commit):
            config = AutoConfig.from_pretrained(place, revision=commit)
            if section.weights == "random":
                model = _random(section, config, seed).to(device)
            else:
                model = _trained(section, place, config, commit, device, device_map, key)
    except (OSError, ValueError, ImportError, RuntimeError, HTTPError, SafetensorError) as error:
        why = hub.reason(error, section.model, section.revision) or said(error)
        raise GlossaError(
            f"{key}.model should be a causal language model, but {section.model} can't be loaded: {why}"
        ) from None
    return model.eval().requires_grad_(requires_grad=False), commit


@contextmanager
def _place(section: params.Subject, key: str) -> Iterator[tuple[str, str | None]]:
    """Yields what Transformers loads the model from, a folder or a repository, and its commit."""
    if (file := gguf.find(section.model, f"{key}.model")) is None:
        yield section.model, None if Path(section.model).is_dir() else hub.pin(section.model, section.revision)
        return
    if section.quantization != "none":
        raise GlossaError(
            f"{key}.quantization should be none for a GGUF file, whose weights are quantized already, found "
            f"{section.quantization} of {file.name}; take it out, or name another model"
        )
    with gguf.header(file) if section.weights == "random" else gguf.weights(file, section.dtype) as folder:
        yield str(folder), None


def _trained(
    section: params.Subject,
    place: str,
    config: Any,
    commit: str | None,
    device: torch.device,
    device_map: str | None,
    key: str,
) -> Any:
    from transformers import AutoModelForCausalLM

    dtype = getattr(torch, section.dtype)
    options: dict[str, Any] = {}
    if section.quantization != "none":
        options["quantization_config"] = _quantization(section.quantization, dtype, key)
        options["device_map"] = device_map or {"": device}
    elif device_map is not None:
        _need("accelerate", "the device map of the runtime")
        options["device_map"] = device_map
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        place,
        config=config,
        revision=commit,
        dtype=dtype,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are in the report
        **options,
    )
    model, report = loaded
    # Transformers fills these with random numbers and only warns.
    unread = sorted({*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])})
    if unread:
        raise GlossaError(
            f"{key}.model {section.model} should hold all weights of its architecture, but {unread[0]} is missing or "
            f"of another shape ({len(unread)} in all); save it again as a causal language model"
        )
    return model if options else model.to(device)


def _quantization(kind: str, dtype: torch.dtype, key: str) -> Any:
    """The 8-bit (LLM.int8) or 4-bit (NF4) quantization of bitsandbytes."""
    for package in ("accelerate", "bitsandbytes"):
        _need(package, f"{key}.quantization {kind}")
    from transformers import BitsAndBytesConfig

    if kind == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def _need(package: str, what: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise GlossaError(
            f"{what} needs the package {package}, which is not installed; run pip install -c constraints.txt -e '.[quantize]'"
        )


def _random(section: params.Subject, config: Any, seed: int) -> Any:
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, section.dtype))


def identity(section: params.Subject, seed: int, commit: str | None) -> dict[str, Any]:
    """Returns what a subject is, and the hash of it; a folder or a GGUF file counts by its bytes, a repository by its name and commit.

    No weight is loaded for it. ``seed`` counts for random weights.

    Raises:
        GlossaError: there is no such GGUF file; OSError: a folder lacks its config.
    """
    folder, file = Path(section.model), gguf.find(section.model)
    facts: dict[str, Any] = {"weights": section.weights, "dtype": section.dtype}
    if section.quantization != "none":
        facts["quantization"] = section.quantization
    if section.weights == "random":
        import transformers

        # Another version may draw other numbers.
        facts |= {"seed": seed, "drawn_by": f"transformers {transformers.__version__}, torch {torch.__version__}"}
    if file is not None:
        facts["gguf"] = gguf.sha256(file)
    elif folder.is_dir():
        names = ["config.json"]
        if section.weights == "trained":
            names += sorted(file.name for file in folder.iterdir() if file.suffix in (".safetensors", ".bin"))
        facts["files"] = {name: file_sha256(folder / name) for name in names}
    else:
        facts |= {"repository": section.model, "revision": commit}
    name = section.model if file is None else file.name
    return {"model": name, **facts, "sha256": fingerprint(facts)}

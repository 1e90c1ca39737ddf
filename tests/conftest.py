"""Shared fixtures: a tiny subject, tiny sparse coders, and a working folder that holds them."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings

from tests.once import once
from tests.schedule import (
    pytest_collection_modifyitems,
    pytest_ignore_collect,
    pytest_xdist_auto_num_workers,
    pytest_xdist_make_scheduler,
)

__all__ = [
    "pytest_collection_modifyitems",
    "pytest_ignore_collect",
    "pytest_xdist_auto_num_workers",
    "pytest_xdist_make_scheduler",
]

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub

if TYPE_CHECKING:
    from stages.subject.load import Subject
    from tests.hub_server import Hub

settings.register_profile("glossa", deadline=None, max_examples=40, derandomize=True)
settings.register_profile("fresh", deadline=None, max_examples=40, derandomize=False, database=None, print_blob=True)
settings.load_profile("glossa")  # the same seeds every time; pytest --hypothesis-profile=fresh has others

WIDTH = 16
END = "<|end|>"
SENTENCES = [
    "The quick brown fox jumps over the lazy dog.",
    "A naïve café owner paid 12 € for 3 kg of beans 😀.",
    "Returns the array, or None if there is none.",
    "def f(x):\n    return x + 1\n",
    "She said that it was late, and that she would go home.",
    "In 1984 the sea rose by 17 mm; in 1985 by 21 mm.",
    "Is it raining? Yes, it is raining.",
]
PARAMS = """\
seed: 0
corpus: {source: text, path: texts, context_length: 32, tokens: 3_200, bos: <|end|>}
subject: {model: subject}
coders:
  one: {path: coders/one, hookpoint: layers.0}
  two: {path: coders/two, hookpoint: layers.1}
sampling:
  latents: all
  min_activations: 5
  window: 8
  train: {strategy: quantile, n: 6}
  test: {per_decile: 1, negatives: {random: 10}}
explainers:
  pattern: {kind: pattern}
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keeps the state outside DVC in a temporary folder and the settings of whoever runs the tests out of them."""
    for name in list(os.environ):
        if name.startswith("GLOSSA_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GLOSSA_HOME", str(tmp_path / "home"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub on this machine that the client library talks to, with an empty cache in ``tmp_path / "hub"``."""
    from tests.hub_server import serving

    with serving(monkeypatch, tmp_path / "hub") as server:
        yield server


@pytest.fixture(scope="session")
def subject_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of 2 layers and width 16 with a byte-level BPE; copy it before changing anything."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()

    def make(folder: Path) -> None:
        bpe = Tokenizer(models.BPE())
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bpe.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        bpe.train_from_iterator(
            SENTENCES,
            trainers.BpeTrainer(vocab_size=320, special_tokens=[END], initial_alphabet=alphabet, show_progress=False),
        )
        PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=END, eos_token=END).save_pretrained(folder)
        config = LlamaConfig(
            vocab_size=bpe.get_vocab_size(),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=64,
            initializer_range=0.3,
            bos_token_id=0,
            eos_token_id=0,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = LlamaForCausalLM(config)
        model.save_pretrained(folder)

    return once(tmp_path_factory, "subject", make)


@pytest.fixture(scope="session")
def subject(subject_folder: Path) -> Subject:
    """The subject, loaded."""
    import torch

    from stages import params
    from stages.subject.load import load

    return load(params.Subject(model=str(subject_folder)), 0, torch.device("cpu"))


@pytest.fixture(scope="session")
def make_coder() -> Callable[..., Path]:
    """Writes a random sparse coder in sparsify's format: ``make_coder(folder, seed, width=…, latents=…, k=…)``."""

    def make(folder: Path, seed: int, width: int = WIDTH, latents: int = 24, k: int = 4) -> Path:
        from safetensors.numpy import save_file

        generator = np.random.default_rng(seed)
        folder.mkdir(parents=True)
        encoder = generator.normal(size=(latents, width)).astype(np.float32)
        weights = {
            "encoder.weight": encoder,
            "encoder.bias": generator.normal(size=latents).astype(np.float32) - 1,
            "W_dec": encoder / np.linalg.norm(encoder, axis=1, keepdims=True),
            "b_dec": generator.normal(size=width).astype(np.float32) / 4,
        }
        save_file(weights, folder / "sae.safetensors")
        config = {"k": k, "d_in": width, "num_latents": latents, "activation": "topk"}
        (folder / "cfg.json").write_text(json.dumps(config))
        return folder

    return make


@pytest.fixture(scope="session")
def coder_folder(tmp_path_factory: pytest.TempPathFactory, make_coder: Callable[..., Path]) -> Path:
    """A sparse coder of 24 latents that fits the subject; copy it before changing anything."""
    return make_coder(tmp_path_factory.mktemp("coders") / "one", seed=1)


def _furnish(folder: Path, subject_folder: Path, make_coder: Callable[..., Path]) -> None:
    shutil.copytree(subject_folder, folder / "subject")
    make_coder(folder / "coders" / "one", seed=1)
    make_coder(folder / "coders" / "two", seed=2)
    (folder / "texts").mkdir()
    generator = np.random.default_rng(0)
    for number in range(30):
        text = " ".join(generator.choice(SENTENCES, 8))
        (folder / "texts" / f"{number:02}.txt").write_text(text, encoding="utf-8")
    (folder / "params.yaml").write_text(PARAMS)


@pytest.fixture
def workplace(
    tmp_path: Path, subject_folder: Path, make_coder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The current folder: params.yaml, a subject, two coders and a corpus of text files; nothing has run yet."""
    folder = tmp_path / "workplace"
    folder.mkdir()
    _furnish(folder, subject_folder, make_coder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(autouse=True, scope="module")
def forgotten_models() -> Iterator[None]:
    """Models are remembered by paths relative to a folder that is another one in the next module."""
    yield
    if local := sys.modules.get("stages.llm.providers.local"):
        local.load.cache_clear()
    if named := sys.modules.get("stages.llm.providers.identity"):
        named.identity.cache_clear()


@pytest.fixture(scope="session")
def finished_workplace(
    tmp_path_factory: pytest.TempPathFactory, subject_folder: Path, make_coder: Callable[..., Path]
) -> Path:
    """A folder like ``workplace`` in which tokenize, cache and sample have run; copy it before changing anything."""
    from click.testing import CliRunner

    from stages.cli import main

    def make(folder: Path) -> None:
        _furnish(folder, subject_folder, make_coder)
        with chdir(folder):
            for arguments in (["tokenize"], ["cache", "one"], ["cache", "two"], ["sample", "one"], ["sample", "two"]):
                result = CliRunner().invoke(main, arguments, env={"GLOSSA_HOME": str(folder / "home")})
                assert result.exit_code == 0, result.output

    return once(tmp_path_factory, "finished", make)


@pytest.fixture
def at_finished(finished_workplace: Path) -> Iterator[Path]:
    """The finished folder as the current one, to be read only."""
    with chdir(finished_workplace):
        yield finished_workplace

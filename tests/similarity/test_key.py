from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from safetensors.numpy import load_file

from stages import compare, params, paths, registry
from stages.corpus.tokens import Tokens
from stages.explainers.table import texts
from stages.similarity import key, reading
from stages.similarity.key import Keys, code_of
from stages.similarity.sources import Known
from stages.wiring import reach
from tests.similarity.planted import KINDS, another, change, explain, setting, weights

CPU = torch.device("cpu")


def known(p: params.Params) -> dict[str, Known]:
    said = reading.said(p, texts)
    vectors = {text: np.random.default_rng(len(text)).normal(size=4).astype(np.float32) for text in reading.every(said)}
    return reading.coders(p, said, vectors, Tokens.open())


def found(
    pair: tuple[str, str] = ("one", "two"),
    edit: Callable[[Known], Known] = lambda coder: coder,
    device: torch.device = CPU,
    embedder: str | None = "e",
) -> str:
    """The key of a pair in the current folder, after an ``edit`` of the first coder in memory."""
    p = params.only(params.load(), *compare.READS)
    coders = known(p)
    coders[pair[0]] = edit(coders[pair[0]])
    return Keys(p, coders, Tokens.open(), device, embedder).of(*pair)


def edit_meta(coder: str, **changed: Any) -> None:
    file = paths.examples(coder) / "meta.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changed}))


def explainer_more() -> None:
    change("  pattern: {kind: pattern}", "  pattern: {kind: pattern}\n  second: {kind: pattern}")
    for coder in ("one", "two"):
        explain(coder, {0: "the cat"}, "second")


def config(coder: str) -> None:
    file = Path("coders") / coder / "cfg.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "hook_point_out": "elsewhere"}))


CHANGES: Mapping[str, Callable[[], object]] = {
    "weights of the first": lambda: weights("one", W_dec=load_file("coders/one/sae.safetensors")["W_dec"] * 2),
    "weights of the second": lambda: weights("two", W_dec=load_file("coders/two/sae.safetensors")["W_dec"] * 2),
    "a file beside the weights": lambda: config("two"),
    "another name of the weights": lambda: Path("coders/one/sae.safetensors").rename("coders/one/layer_3.safetensors"),
    "the entry": lambda: change("hookpoint: layers.0", "hookpoint: layers.0.output"),
    "the hookpoint": lambda: edit_meta("one", hookpoint="layers.1"),
    "the subject": lambda: edit_meta("two", subject={"sha256": "0" * 64}),
    "a text": lambda: explain("one", {latent: KINDS[latent % 4] if latent else "verb" for latent in range(24)}),
    "which latents are explained": lambda: explain("two", {latent: KINDS[latent % 4] for latent in range(9)}),
    "an explainer more": explainer_more,
    "matching": lambda: setting(match="encoder"),
    "the seed": lambda: change("seed: 0", "seed: 1"),
    "reading activations": lambda: setting(activations=True),
}


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_decides_a_pair_changes_its_key(planted: Path, what: str) -> None:
    before = found()
    assert found() == before
    CHANGES[what]()
    assert found() != before


EDITS: Mapping[str, Callable[[Known], Known]] = {
    "the name": lambda coder: coder._replace(name="other"),
    "a control": lambda coder: coder._replace(control="random"),
    "the last bit of a vector": lambda coder: coder._replace(
        explained={name: one._replace(vectors=next_to(one.vectors)) for name, one in coder.explained.items()}
    ),
    "a density": lambda coder: coder._replace(
        firing=coder.firing._replace(density=next_to(coder.firing.density)),
    ),
    "a frequency": lambda coder: coder._replace(
        firing=coder.firing._replace(frequency=next_to(coder.firing.frequency))
    ),
    "the commit": lambda coder: coder._replace(coder={**coder.coder, "commit": "0" * 40}),
    "the order of explainers": lambda coder: coder._replace(
        explained={**coder.explained, "z": coder.explained["pattern"]}
    ),
}


def next_to(values: np.ndarray) -> np.ndarray:
    changed = values.copy()
    place = np.flatnonzero(~np.isnan(changed.reshape(-1)))[0]
    changed.reshape(-1)[place] = np.nextafter(changed.reshape(-1)[place], np.inf, dtype=values.dtype)
    return changed


@pytest.mark.parametrize("what", EDITS)
def test_the_last_bit_of_what_is_known_of_a_coder_counts(planted: Path, what: str) -> None:
    assert found(edit=EDITS[what]) != found()


def test_so_do_device_embedder_packages_and_order(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [
        found(),
        found(device=torch.device("cuda", 0)),
        found(embedder="another"),
        found(embedder=None),
        found(("two", "one")),
    ]
    assert found(device=torch.device("cuda", 1)) == keys[1], "which of several alike does not"
    for package in key.PACKAGES:
        with monkeypatch.context() as patch:
            patch.setattr(key, "version", lambda name, new=package: "new" if name == new else "1")
            keys.append(found())
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("statistic", ["count", "max", "sum", "square_sum"])
def test_a_store_counts_only_where_activations_are_compared(planted: Path, statistic: str) -> None:
    without = found()
    setting(activations=True)
    read = found()
    array = zarr.open_group(paths.latents("two"), mode="r+")[f"stats/{statistic}"]
    array[3] = array[3] + 1
    sizes(paths.latents("two"))
    assert found() != read
    change(", activations: true", "")
    assert found() == without


def sizes(store: Path) -> None:
    """Notes the sizes of the files of a store anew."""
    root = zarr.open_group(store, mode="r+")
    root.attrs["files"] = {name: (store / name).stat().st_size for name in root.attrs["files"]}


def test_nothing_else_does(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = found()
    another("third")
    explain("third", {0: "verb"})
    setting(ceiling=3, pairs="neighbours")
    shutil.rmtree(paths.latents("one"))
    Path("coders/one/README.md").write_text("What it is.")
    monkeypatch.setenv("GLOSSA_WORKERS", "3")
    assert found() == before


def test_a_coder_of_another_project_counts_without_weights_and_store(planted: Path, tmp_path: Path) -> None:
    for path in (paths.examples("two"), paths.explanations("two", "pattern")):
        shutil.copytree(path, tmp_path / "other" / path)
    setting(others={"theirs": {"path": str(tmp_path / "other"), "coder": "two"}}, activations=True)
    before = found(("one", "theirs"))
    config("two")
    assert found(("one", "theirs")) == before
    explain("two", {0: "verb"})
    assert found(("one", "theirs")) == before
    shutil.copytree(
        paths.explanations("two", "pattern"), tmp_path / "other/data/explanations/two/pattern", dirs_exist_ok=True
    )
    assert found(("one", "theirs")) != before


def test_the_code_that_counts_is_that_of_pairs_and_of_their_readers() -> None:
    assert len({code_of(frozenset(found)) for found in ((), ("sparsify",), ("saelens",), ("sparsify", "saelens"))}) == 4
    places = {part.place.partition(":")[0] for part in reach.reached([*key.STARTS, registry.READERS["openai"]])}
    room = "stages/similarity"
    inside = {
        f"{room}/{name}.py"
        for name in [
            "activations",
            "blocks",
            "firing",
            "sources",
            "lists",
            "match",
            "meaning",
            "outcome",
            "packed",
        ]
    }
    inside |= {f"{room}/{name}.py" for name in ["pair", "pairs", "reading", "sets", "significance", "space", "split"]}
    assert inside <= places
    assert {
        "stages/bootstrap.py",
        "stages/coders/random.py",
        "stages/coders/neurons.py",
        "stages/subject/load.py",
    } <= places
    readers = {place for place in places if place.startswith("stages/coders/readers/")}
    assert readers <= {f"stages/coders/readers/{name}.py" for name in ("__init__", "files", "openai", "stated")}
    assert not places & {f"{room}/{name}.py" for name in ("all_pairs", "key", "chosen", "ceiling", "embedded")}

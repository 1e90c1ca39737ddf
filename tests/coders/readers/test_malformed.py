from __future__ import annotations

import json
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages import coders
from stages.errors import GlossaError
from tests.coders.readers import on_disk
from tests.coders.readers.folders import MAKERS
from tests.coders.readers.on_disk import Made
from tests.folders import tree

RUNS = 90
"""Damaged copies of every coder that the fuzzer makes: some 3,000 in all."""


class Payload:
    """What creates a file when somebody unpickles it."""

    def __init__(self, canary: Path) -> None:
        self.canary = str(canary)

    def __reduce__(self) -> Any:
        return (open, (self.canary, "w"))


def mistake(made: Made) -> str:
    with pytest.raises(GlossaError) as caught:
        coders.load(str(made.path), made.options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1500
    return message


def with_tensors(made: Made, change: Callable[[dict[str, Any]], None]) -> str:
    """What is said of the coder when its tensors have been changed; they are put back."""
    before = made.weights.read_bytes()
    tensors = on_disk.read_tensors(made.weights)
    change(tensors)
    on_disk.write_tensors(made.weights, tensors)
    message = mistake(made)
    assert str(made.weights.parent) in message
    made.weights.write_bytes(before)
    return message


def read_floats(made: Made) -> list[str]:
    tensors = on_disk.read_tensors(made.weights)
    return [
        n for n, v in tensors.items() if isinstance(v, torch.Tensor) and v.is_floating_point() and n not in made.unread
    ]


@pytest.fixture(params=MAKERS)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    return MAKERS[request.param](tmp_path / "coder")


def test_a_tensor_that_is_missing(made: Made) -> None:
    for name in set(on_disk.read_tensors(made.weights)) - made.optional:
        with_tensors(made, lambda tensors, name=name: tensors.pop(name))


def test_a_tensor_too_many(made: Made) -> None:
    message = with_tensors(made, lambda tensors: tensors.update(surprise=torch.ones(2)))
    assert "found surprise too" in message


def test_a_tensor_of_another_shape(made: Made) -> None:
    for name in read_floats(made):
        for change in (lambda v: v[..., :-1], lambda v: v[None], lambda v: v[..., :0]):
            if on_disk.read_tensors(made.weights)[name].ndim:
                with_tensors(made, lambda t, name=name, change=change: t.update({name: change(t[name]).clone()}))


def test_a_tensor_of_another_type(made: Made) -> None:
    for name in read_floats(made):
        with_tensors(made, lambda tensors, name=name: tensors.update({name: tensors[name].to(torch.int32)}))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number(made: Made, value: float) -> None:
    for name in read_floats(made):
        with_tensors(made, lambda tensors, name=name: tensors[name].view(-1)[-1:].fill_(value))


def test_a_config_of_another_width(made: Made) -> None:
    if made.config is None or made.width is None:
        pytest.skip("its weights alone say how wide it is")
    config = on_disk.read_config(made.config)
    for value in (9, 0, -8, 8.5, "8", None, True, [8], 10**30):
        on_disk.set_key(config, made.width, value)
        on_disk.write_config(made.config, config)
        mistake(made)


def test_a_k_that_is_none(made: Made) -> None:
    if made.config is None or made.k is None:
        pytest.skip("it has no k")
    config = on_disk.read_config(made.config)
    for value in (0, -1, 17, 2.5, "3", None, True, [3], 10**30):
        on_disk.set_key(config, made.k, value)
        on_disk.write_config(made.config, config)
        assert "k" in mistake(made)


def test_a_file_that_is_empty_or_cut(made: Made) -> None:
    for file in filter(None, (made.weights, made.config)):
        whole = file.read_bytes()
        for length in (0, 1, len(whole) // 2, len(whole) - 1):
            file.write_bytes(whole[:length])
            if not (file.suffix == ".yaml" and length):  # a YAML file may well be whole where it is cut
                mistake(made)
        file.write_bytes(whole)
    assert coders.load(str(made.path), made.options).n_latents == 16


def test_a_file_that_is_gone(made: Made) -> None:
    for file in filter(None, (made.weights, made.config)):
        whole = file.read_bytes()
        file.unlink()
        if coders.formats(made.path) != ["gemma_scope_2"]:  # whose weights tell all
            mistake(made)
        file.write_bytes(whole)


def test_a_config_that_is_no_object(made: Made) -> None:
    if made.config is None:
        pytest.skip("it has no config")
    for text in ("[]", "3", "null", '"text"', "{", "\x00", "[" * (1 if made.config.suffix == ".yaml" else 100_000)):
        made.config.write_text(text)
        mistake(made)
    made.config.write_bytes(b"\xff\xfe")
    mistake(made)


def test_a_pickle_with_code_in_it_is_not_run(made: Made, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    payload, other = Payload(canary), tmp_path / "other.npz"
    tensors = on_disk.read_tensors(made.weights)
    for save in (
        lambda: torch.save({**tensors, "surprise": payload}, made.weights),
        lambda: torch.save({**tensors, "surprise": payload}, made.weights, _use_new_zipfile_serialization=False),
        lambda: torch.save(payload, made.weights),
        lambda: made.weights.write_bytes(pickle.dumps(payload)),
        lambda: made.weights.write_bytes(b"\x00" * 8 + pickle.dumps(payload)),
        lambda: np.savez(other, W_enc=np.array([payload], dtype=object)),
    ):
        save()
        if other.exists():
            other.rename(made.weights)
        assert not canary.exists()
        mistake(made)
        assert not canary.exists()
    pickle.loads(pickle.dumps(payload)).close()  # the payload does what it should not
    assert canary.exists()


def test_a_tensor_that_claims_more_than_it_holds(tmp_path: Path) -> None:
    made = MAKERS["plain qresearch"](tmp_path)
    for weight in (
        torch.zeros(1).expand(2**20, 2**20),  # 4 TB, if anybody wrote it out
        torch.zeros(16, 8).to_sparse(),
        torch.zeros(16, 8, device="meta"),
        torch.zeros(16, 8, requires_grad=True) + float("nan"),
    ):
        with_tensors(made, lambda tensors, weight=weight: tensors.update({"encoder.weight": weight.detach()}))


def test_parameters_are_read_as_their_numbers(tmp_path: Path) -> None:
    made = MAKERS["plain qresearch"](tmp_path)
    before = coders.load(str(made.path), made.options)
    tensors = on_disk.read_tensors(made.weights)
    torch.save({name: torch.nn.Parameter(value) for name, value in tensors.items()}, made.weights)
    after = coders.load(str(made.path), made.options)
    assert after.W_enc is not None
    assert torch.equal(after.W_enc, before.W_enc)
    assert not after.W_enc.requires_grad


VALUES = [None, True, False, 0, 1, -1, 2, 3, 8, 16, 2**31, 2**63, 10**40, 0.0, -0.5, 0.5, 1e-40, 1e300, float("nan"), float("inf"),
          "", "topk", "relu", "jumprelu", "standard", "a\nb", "\ud800", [], [1], {}, {"in": 1}, [[]] * 3]  # fmt: skip


def damage_json(chance: random.Random, file: Path) -> None:
    """Swaps, drops or adds a value somewhere in a JSON file."""
    config = json.loads(file.read_text())
    holders = [config, *(value for value in config.values() if isinstance(value, dict) and value)]
    holder = chance.choice(holders)
    key = chance.choice([*holder, "surprise"])
    action = chance.choice(["set", "set", "drop", "swap"])
    if action == "drop":
        holder.pop(key, None)
    else:
        holder[key] = chance.choice(VALUES if action == "set" else list(holder.values()))
    file.write_text(json.dumps(config))


def damage_bytes(chance: random.Random, file: Path) -> None:
    """Flips, cuts, adds or repeats bytes; headers come more often than numbers."""
    data = bytearray(file.read_bytes())
    reach = len(data) if chance.random() < 0.5 else min(len(data), 600)
    match chance.choice(["flip", "flip", "bit", "cut", "add", "repeat", "text"]):
        case "flip":
            for _ in range(chance.randint(1, 8)):
                data[chance.randrange(reach)] = chance.randrange(256)
        case "bit":
            data[chance.randrange(reach)] ^= 1 << chance.randrange(8)
        case "cut":
            del data[chance.randrange(reach) :]
        case "add":
            at = chance.randrange(reach)
            data[at:at] = chance.randbytes(chance.randint(1, 40))
        case "repeat":
            at = chance.randrange(reach)
            data[at:at] = data[at : at + chance.randint(1, 40)]
        case "text":  # the numbers in headers, one for another
            digits = [i for i in range(reach) if 48 <= data[i] < 58]
            for _ in range(chance.randint(1, 3)):
                if digits:
                    data[chance.choice(digits)] = chance.choice(b"0123456789")
    file.write_bytes(data)


def damage(chance: random.Random, folder: Path) -> None:
    """Damages one file below ``folder``, or takes it away."""
    file = chance.choice(sorted(file for file in folder.rglob("*") if file.is_file()))
    if chance.random() < 0.03:
        file.unlink()
    elif file.suffix == ".json" and chance.random() < 0.8:
        damage_json(chance, file)
    else:
        damage_bytes(chance, file)


@pytest.mark.parametrize("name", MAKERS)
def test_whatever_is_damaged_gives_a_coder_or_one_sentence(tmp_path: Path, name: str) -> None:
    canary = tmp_path / "canary"
    MAKERS[name](tmp_path / "whole")
    other = MAKERS[name](tmp_path / "other")
    relative = other.path.relative_to(tmp_path / "other")
    if name == "openai TopK":  # let the damage meet code, too
        made = MAKERS[name](tmp_path / "whole")
        torch.save({**on_disk.read_tensors(made.weights), "activation": Payload(canary)}, made.weights)
    whole = tree(tmp_path / "whole")
    folder = tmp_path / "damaged"
    shutil.copytree(tmp_path / "whole", folder)
    outcomes = {"coder": 0, "sentence": 0}
    for run in range(RUNS):
        for file, data in whole.items():
            (folder / file).unlink(missing_ok=True)  # what was read of it may be a map of the file
            (folder / file).write_bytes(data)
        damage(random.Random(f"{name} {run}"), folder)
        try:
            coder = coders.load(str(folder / relative), other.options)
        except GlossaError as error:
            outcomes["sentence"] += str(error).count("\n") == 0
        else:
            x = torch.from_numpy(np.random.default_rng(run).normal(size=(3, coder.d_in)).astype(np.float32))
            found = coder.encode(x)
            assert len(found.rows) == len(found.latents) == len(found.values)
            assert ((found.latents >= 0) & (found.latents < coder.n_latents)).all()
            if coder.W_dec is not None:
                assert len(coder.decode(found, x)) == 3
            outcomes["coder"] += 1
        assert not canary.exists()
    assert sum(outcomes.values()) == RUNS
    assert outcomes["sentence"] > RUNS / 5

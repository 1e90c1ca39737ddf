"""Checks of coders whose figures follow from how they are built."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from stages import coders
from stages.coders import neurons, random
from stages.coders.activations import JumpRelu, Relu, TopK
from stages.coders.check import Check, Variant, measure
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError
from stages.subject.hookpoints import activations
from stages.subject.load import Subject
from tests import families
from tests.conftest import WIDTH

ROWS, LENGTH = 12, 20
NONE_SPECIAL = torch.zeros(400, dtype=torch.bool)


@pytest.fixture(scope="module")
def gpt2() -> Subject:
    return Subject(families.make("gpt2"), "gpt2", {}, torch.device("cpu"))


@cache
def written(subject: Subject) -> Tensor:
    """Rows that the subject wrote itself, so that it predicts them better than with zeros inside it; without token 0."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.arange(1, ROWS + 1).unsqueeze(1)
    while ids.shape[1] < LENGTH:
        likely = subject.model(input_ids=ids).logits[:, -1].softmax(1)
        ids = torch.cat([ids, torch.multinomial(likely[:, 1:], 1, generator=generator) + 1], 1)
    return ids


def check(
    subject: Subject, coder: SparseCoder, special: Tensor = NONE_SPECIAL, ids: Tensor | None = None, **more: Any
) -> Check:
    return measure(subject, coder, written(subject) if ids is None else ids, special, **more)


def at(subject: Subject, hookpoint: str, ids: Tensor | None = None) -> Tensor:
    """What a hookpoint gives, [tokens, width]."""
    read = activations(subject, [hookpoint], written(subject) if ids is None else ids)
    return read[hookpoint].flatten(0, 1).clone()


def affine(directions: Tensor, bias: Tensor, hookpoint: str, **more: Any) -> SparseCoder:
    """A ReLU coder that projects what it reads, less a bias that it puts back, on orthonormal ``directions`` [n, width]."""
    both = torch.cat([directions, -directions])
    return SparseCoder(
        W_enc=both,
        b_enc=torch.zeros(len(both)),
        W_dec=both,
        b_dec=bias,
        b_pre=bias,
        activation=Relu(),
        source="here",
        identity={"format": "test"},
        hookpoint=hookpoint,
        **more,
    )


def identity(hookpoint: str, **more: Any) -> SparseCoder:
    return affine(torch.eye(WIDTH), torch.zeros(WIDTH), hookpoint, **more)


def principal(x: Tensor, n: int) -> Tensor:
    """The ``n`` directions in which ``x`` [tokens, width] varies most, [n, width]."""
    return torch.linalg.svd(x - x.mean(0), full_matrices=False).Vh[:n]


def fvu(y: Tensor, made: Tensor) -> float:
    y, made = y.double(), made.double()
    return float((y - made).pow(2).sum() / (y - y.mean(0)).pow(2).sum())


def better(found: Check) -> list[Variant]:
    return [variant for variant in found.variants if variant.better]


def variant(found: Check, start: str) -> Variant:
    (one,) = (variant for variant in found.variants if variant.what.startswith(start))
    return one


def test_a_perfect_coder(subject: Subject) -> None:
    found = check(subject, identity("layers.0"))
    assert found.fvu == pytest.approx(0, abs=1e-9)
    assert found.loss is not None
    assert found.loss.recovered == pytest.approx(1, abs=1e-5)
    assert found.loss.spliced == pytest.approx(found.loss.clean, abs=1e-5)
    assert (found.l0, found.dead, found.tokens, found.special) == (WIDTH, 0, ROWS * LENGTH, 0)
    assert not better(found)
    assert found.undefined == {}


def test_a_coder_that_gives_nothing_or_the_mean(subject: Subject) -> None:
    x = at(subject, "layers.0")
    nothing = replace(identity("layers.0"), W_dec=torch.zeros(2 * WIDTH, WIDTH))
    found = check(subject, nothing)
    assert found.loss is not None
    assert found.loss.recovered == pytest.approx(0, abs=1e-6)
    assert found.fvu == pytest.approx(fvu(x, torch.zeros_like(x)), rel=1e-5)
    assert check(subject, replace(nothing, b_dec=x.mean(0))).fvu == pytest.approx(1, rel=1e-5)


def test_losses_and_norms_by_hand(subject: Subject) -> None:
    ids = written(subject)
    with torch.inference_mode():
        logits = subject.model(input_ids=ids).logits[:, :-1].flatten(0, 1)
    found = check(subject, identity("layers.0"))
    assert found.loss is not None
    assert found.loss.clean == pytest.approx(functional.cross_entropy(logits, ids[:, 1:].flatten()).item(), rel=1e-5)
    norms = at(subject, "layers.0").norm(dim=1).numpy()
    inputs = found.norms["inputs"]
    assert inputs.mean == pytest.approx(norms.mean(), rel=1e-5)
    assert (inputs.p5, inputs.p95) == pytest.approx(tuple(np.percentile(norms, [5, 95])), rel=1e-5)
    assert found.norms["decoder rows"].p5 == found.norms["encoder rows"].mean == 1


def test_the_size_of_batches_changes_nothing(subject: Subject) -> None:
    coder = affine(principal(at(subject, "layers.0"), 3), at(subject, "layers.0").mean(0), "layers.0")
    told: list[int] = []
    whole, rows = check(subject, coder), check(subject, coder, batch_tokens=LENGTH, progress=told.append)
    assert told == [LENGTH] * ROWS
    assert whole.fvu == pytest.approx(rows.fvu, rel=1e-5)
    assert whole.loss is not None
    assert rows.loss is not None
    assert whole.loss.recovered == pytest.approx(rows.loss.recovered, rel=1e-4)
    assert [v.fvu for v in whole.variants] == pytest.approx([v.fvu for v in rows.variants], rel=1e-4)


def test_special_tokens_count_nowhere(subject: Subject) -> None:
    ids = written(subject).clone()
    ids[:, 0] = 0
    ids[3, 7] = 0
    special = NONE_SPECIAL.clone()
    special[0] = True
    x = at(subject, "layers.0", ids)
    ordinary = (ids != 0).flatten()
    coder = affine(principal(x[ordinary], 2), x[ordinary].mean(0), "layers.0")
    found = check(subject, coder, special, ids)
    assert (found.tokens, found.special) == (ROWS * LENGTH - ROWS - 1, ROWS + 1)
    assert found.fvu == pytest.approx(fvu(x[ordinary], coder.reconstruct(x[ordinary])), rel=1e-5)
    assert found.norms["inputs"].mean == pytest.approx(x[ordinary].norm(dim=1).mean().item(), rel=1e-5)

    with torch.inference_mode():
        nats = functional.cross_entropy(
            subject.model(input_ids=ids).logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
        )
    counted = ((ids[:, :-1] != 0) & (ids[:, 1:] != 0)).flatten()
    assert found.loss is not None
    assert found.loss.clean == pytest.approx(nats[counted].mean().item(), rel=1e-5)


def test_what_is_spliced_in_leaves_special_tokens_alone(subject: Subject) -> None:
    special = NONE_SPECIAL.clone()
    special[written(subject).unique()] = True
    special[written(subject)[0, 5:7]] = False
    found = check(subject, replace(identity("layers.0"), W_dec=torch.zeros(2 * WIDTH, WIDTH)), special)
    assert found.loss is not None
    assert abs(found.loss.zero - found.loss.clean) > 1e-3
    special[:] = True
    with pytest.raises(GlossaError, match="expected ordinary tokens to check a coder on, found special ones alone"):
        check(subject, identity("layers.0"), special)


@pytest.mark.parametrize(("published", "off"), [(None, False), (16, False), (13.5, False), (13, True), (20.1, True)])
def test_l0_beside_the_published(subject: Subject, published: float | None, off: bool) -> None:
    found = check(subject, identity("layers.0", published_l0=published))
    assert (found.l0, found.published_l0, found.l0_is_off) == (16, published, off)


def test_dead_latents(subject: Subject) -> None:
    coder = identity("layers.0")
    found = check(subject, replace(coder, b_enc=torch.where(torch.arange(2 * WIDTH) < 8, -1e6, coder.b_enc)))
    assert found.dead == 0.25


def test_a_transposed_decoder_is_found_out(subject: Subject, tmp_path: Path) -> None:
    def saved(name: str, turned: bool) -> SparseCoder:
        turn = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(0))).Q
        up = torch.full((WIDTH,), 100.0)  # so that the ReLU lets everything through
        b_dec = -turn.T @ up
        folder = tmp_path / name
        folder.mkdir()
        decoder = turn.T if turned else turn
        tensors = {"encoder.weight": turn, "encoder.bias": up + turn @ b_dec, "W_dec": decoder, "b_dec": b_dec}
        save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "sae.safetensors")
        (folder / "cfg.json").write_text(json.dumps({"k": WIDTH, "d_in": WIDTH, "num_latents": WIDTH}))
        return replace(coders.load(str(folder)), hookpoint="layers.0")

    right = check(subject, saved("right", turned=False))
    assert right.fvu == pytest.approx(0, abs=1e-6)
    assert not better(right)
    wrong = check(subject, saved("wrong", turned=True))
    assert wrong.fvu is not None
    assert wrong.fvu > 0.1
    best = min(better(wrong), key=lambda v: v.fvu or 0)
    assert best.what == "decoder transposed"
    assert best.fvu == pytest.approx(0, abs=1e-6)
    assert best.remedy == "transpose its decoder in the file"


def test_an_encoder_kept_as_the_decoder_is_found_out(subject: Subject) -> None:
    coder = identity("layers.0")
    assert "encoder as decoder" not in [v.what for v in check(subject, coder).variants], "it is the same"
    wrong = check(subject, replace(coder, W_dec=coder.W_dec.flip(0).contiguous()))
    assert variant(wrong, "encoder as decoder").better


def test_a_bias_that_is_or_is_not_subtracted(subject: Subject) -> None:
    x = at(subject, "layers.0")
    coder = affine(principal(x, 3), x.mean(0) + 5, "layers.0")
    assert not variant(check(subject, coder), "b_dec not subtracted").better
    wrong = check(subject, replace(coder, b_pre=torch.zeros(WIDTH)))
    assert variant(wrong, "b_dec subtracted from the input").better


def test_another_layer_is_found_out(subject: Subject) -> None:
    x = at(subject, "layers.0")
    coder = affine(principal(x, 4), x.mean(0), "layers.0")
    right, wrong = check(subject, coder), check(subject, replace(coder, hookpoint="model.layers.1.output"))
    assert [v.what for v in right.variants if v.what.startswith("at")] == [
        "at layers.1, the next layer",
        "at layers.0.input, the input of the same module",
    ]
    assert not better(right)
    assert wrong.reads == "layers.1"
    moved = variant(wrong, "at layers.0, the previous layer")
    assert moved.better
    assert moved.fvu == pytest.approx(right.fvu, rel=1e-5)
    assert moved.remedy == "set hookpoint: layers.0 in its entry in params.yaml"


def test_a_centred_stream(gpt2: Subject, subject: Subject) -> None:
    x = at(gpt2, "h.0")
    centred = x - x.mean(1, keepdim=True)
    coder = affine(principal(centred, 3), centred.mean(0), "h.0")
    wrong = check(gpt2, coder)
    assert variant(wrong, "input mean-centred").better
    assert variant(wrong, "input mean-centred").remedy == "set centre: true in its entry in params.yaml"

    right = check(gpt2, replace(coder, input_norm="centre"))
    assert right.fvu == pytest.approx(fvu(centred, coder.reconstruct(centred)), rel=1e-5)
    assert not variant(right, "input not mean-centred").better
    whole = check(gpt2, identity("h.0", input_norm="centre"))
    assert whole.loss is not None
    assert whole.loss.recovered == pytest.approx(1, abs=1e-5), "the mean is put back"
    assert not [v for v in check(subject, identity("layers.0")).variants if "centred" in v.what], "it has no LayerNorm"


def test_a_normalised_input(subject: Subject) -> None:
    x = at(subject, "layers.0")
    normed = (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)
    coder = affine(principal(normed, 5), normed.mean(0), "layers.0", input_norm="layer_norm")
    assert not variant(check(subject, coder), "input not normalised").better


@pytest.mark.parametrize("norm", ["constant_norm", "layer_norm"])
def test_an_input_that_should_be_normalised(norm: Any) -> None:
    quiet = Subject(families.make("llama"), "quiet", {}, torch.device("cpu"))
    quiet.modules["embed_tokens"].weight /= 30  # below what the coder fires at, unless it is scaled
    ids = torch.arange(ROWS * 5).view(ROWS, 5)
    coder = replace(identity("embed_tokens"), b_enc=torch.full((2 * WIDTH,), -0.3))
    right = check(quiet, replace(coder, input_norm=norm), ids=ids)
    assert right.fvu is not None
    assert right.fvu < 0.5
    assert not better(right)
    what = {"constant_norm": "input scaled to the norm √d_in", "layer_norm": "input standardised"}[norm]
    found = variant(check(quiet, coder, ids=ids), what)
    assert found.better
    assert found.fvu == pytest.approx(right.fvu)
    assert found.remedy == f"set normalise: {norm} in its entry in params.yaml"


def crowded(activation: Any) -> SparseCoder:
    """Four latents that reconstruct, behind a level that their noise does not reach, and 60 that are noise."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(60, WIDTH, generator=generator) / 30
    both = torch.cat([torch.eye(WIDTH)[:4], -torch.eye(WIDTH)[:4]])
    return replace(
        identity("layers.0"),
        W_enc=torch.cat([both, noise]),
        b_enc=torch.cat([torch.full((8,), 0.0), torch.full((60,), 0.05)]),
        W_dec=torch.cat([both, noise * 60]),
        activation=activation,
    )


def test_another_activation_is_found_out(subject: Subject) -> None:
    wrong = check(subject, crowded(Relu()))
    least = min((v for v in wrong.variants if "largest" in v.what), key=lambda v: v.fvu or 0)
    assert least.what == "only the 8 largest latents"
    assert least.better
    assert least.remedy.startswith("it may be a TopK of about k: 8, its config may disagree")
    for activation in (TopK(4), JumpRelu(torch.cat([torch.zeros(8), torch.full((60,), 9.0)]))):
        right = check(subject, crowded(activation))
        assert right.fvu is not None
        assert wrong.fvu is not None
        assert right.fvu < wrong.fvu
        assert not variant(right, "every latent above 0").better


def test_a_denser_reading_has_to_be_better_by_much(subject: Subject) -> None:
    x = at(subject, "layers.0")
    coder = affine(principal(x, WIDTH), x.mean(0), "layers.0")
    shares = {k: check(subject, replace(coder, activation=TopK(k))) for k in (2, 15)}
    assert variant(shares[2], "every latent above 0").better
    assert shares[15].fvu is not None
    assert not variant(check(subject, replace(coder, activation=TopK(16))), "every latent above 0").better


def test_the_first_column(subject: Subject) -> None:
    ids = written(subject)
    x = at(subject, "layers.0").view(ROWS, LENGTH, WIDTH)
    coder = affine(principal(x[:, 1:].flatten(0, 1), 3), x[:, 1:].flatten(0, 1).mean(0), "layers.0")
    counted, skipped = check(subject, coder), check(subject, coder, skipped=1)
    assert counted.first == pytest.approx(skipped.fvu, rel=1e-4)
    assert skipped.first == pytest.approx(counted.fvu, rel=1e-4)
    assert not skipped.first_is_better
    assert skipped.fvu is not None
    assert counted.fvu is not None
    assert counted.first_is_better is (skipped.fvu < counted.fvu * 0.99)
    special = NONE_SPECIAL.clone()
    special[ids[:, 0].unique()] = True
    alone = check(subject, coder, special, torch.cat([ids[:, :1], ids[:, 1:].clamp(min=ROWS + 1)], 1))
    assert alone.first is None, "special tokens count neither way"


@pytest.mark.parametrize("config", [{"transcode": True}, {"skip_connection": True}])
def test_a_transcoder_of_sparsify(
    subject: Subject, tmp_path: Path, make_coder: Callable[..., Path], config: dict[str, bool]
) -> None:
    folder = make_coder(tmp_path / "layers.1.mlp", seed=1)
    tensors = load_file(folder / "sae.safetensors")
    y = at(subject, "layers.1.mlp")
    tensors |= {"W_dec": torch.zeros_like(tensors["W_dec"]), "b_dec": y.mean(0)}
    if "skip_connection" in config:
        tensors["W_skip"] = torch.zeros(WIDTH, WIDTH)
    save_file(tensors, folder / "sae.safetensors")
    settings = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps({**settings, **config}))
    found = check(subject, coders.load(str(folder)))
    assert (found.reads, found.reconstructs) == ("layers.1.mlp.input", "layers.1.mlp")
    assert found.fvu == pytest.approx(1, rel=1e-5)
    assert {v.what for v in found.variants} >= {
        "at layers.0.mlp.input, the previous layer",
        "at layers.1.mlp, the output of the same module",
    }


def test_a_transcoder_behind_a_norm_of_gemma() -> None:
    gemma = Subject(families.make("gemma2"), "gemma", {}, torch.device("cpu"))
    gemma.modules["layers.1.pre_feedforward_layernorm"].weight.copy_(torch.linspace(-1, 3, WIDTH))
    reads, reconstructs = "layers.1.pre_feedforward_layernorm.normalized", "layers.1.post_feedforward_layernorm"
    x, y = at(gemma, reads), at(gemma, reconstructs)
    one = torch.ones(len(x), 1)
    fit = torch.linalg.lstsq(torch.cat([x, one], 1), y).solution
    coder = SparseCoder(
        W_enc=torch.eye(WIDTH),
        b_enc=torch.full((WIDTH,), -1e6),
        W_dec=torch.zeros(WIDTH, WIDTH),
        b_dec=fit[-1],
        b_pre=torch.zeros(WIDTH),
        activation=Relu(),
        source="here",
        identity={"format": "gemma_scope"},
        W_skip=fit[:-1].T.contiguous(),
        hookpoint=reads,
        reconstructs="blocks.1.hook_mlp_out",
    )
    found = check(gemma, coder)
    assert (found.reads, found.reconstructs) == (reads, reconstructs)
    assert found.fvu == pytest.approx(fvu(y, torch.cat([x, one], 1) @ fit), rel=1e-4)
    assert found.fvu is not None
    gained = variant(found, "at layers.1.pre_feedforward_layernorm, the output of the same module")
    assert gained.fvu is not None
    assert gained.fvu > found.fvu + 0.01, "forgetting that the gain is left out must show"
    assert not better(found)
    assert found.loss is not None
    assert check(gemma, replace(coder, reconstructs=None)).undefined["loss"] == (
        f"no module gives or takes {reads}, so nothing can stand in for it"
    )


def test_neurons(subject: Subject) -> None:
    n = at(subject, "layers.0.mlp.down_proj.input").shape[1]
    every = check(subject, neurons.load(subject, "layers.0.mlp", n))
    assert (every.reads, every.reconstructs) == ("layers.0.mlp.down_proj.input", "layers.0.mlp.down_proj")
    assert every.fvu == pytest.approx(0, abs=1e-6)
    assert every.loss is not None
    assert every.loss.recovered == pytest.approx(1, abs=1e-4)
    assert every.variants == []
    assert every.undefined == {
        "encoder rows": "neurons have no encoder",
        "variants": "it is a control, which can't be misread",
    }
    assert set(every.norms) == {"inputs", "decoder rows"}

    few = check(subject, neurons.load(subject, "layers.0.mlp", 4))
    x, y = at(subject, "layers.0.mlp.down_proj.input"), at(subject, "layers.0.mlp")
    kept = torch.where(x >= x.sort(dim=1).values[:, -4:-3], x, 0)
    assert few.fvu == pytest.approx(fvu(y, kept @ subject.modules["layers.0.mlp.down_proj"].weight.T), rel=1e-4)
    assert few.l0 == 4


def test_a_random_coder(subject: Subject) -> None:
    found = check(subject, random.load(WIDTH, "layers.0", 64, 5, (0, 0)))
    assert found.undefined == {"variants": "it is a control, which can't be misread"}
    assert found.l0 == pytest.approx(5, abs=0.01)
    assert found.fvu is not None


def test_a_coder_without_a_decoder(subject: Subject) -> None:
    found = check(subject, replace(identity("layers.0"), W_dec=None))
    assert (found.fvu, found.loss, found.variants) == (None, None, [])
    assert set(found.undefined) == {"fvu", "loss", "variants", "decoder rows"}
    assert found.l0 == WIDTH


def test_zeros_that_do_no_harm(subject: Subject) -> None:
    found = check(subject, identity("layers.0"), ids=written(subject)[:, :1])
    assert (found.loss, found.undefined) == (None, {"loss": "no ordinary token follows another"})
    quiet = Subject(families.make("llama"), "quiet", {}, torch.device("cpu"))
    quiet.model.get_output_embeddings().weight.zero_()
    found = check(quiet, identity("layers.0"))
    assert found.loss is not None
    assert found.loss.recovered is None
    assert found.undefined["loss recovered"] == "zeros there hardly raise the loss"


def test_what_does_not_vary_has_no_fvu(subject: Subject) -> None:
    found = check(subject, identity("embed_tokens"), ids=torch.full((2, LENGTH), 7))
    assert found.fvu is None
    assert found.undefined["fvu"] == "what embed_tokens gives is the same at every token"
    assert not better(found)


def test_mistakes_are_one_sentence(subject: Subject) -> None:
    with pytest.raises(
        GlossaError, match=r"^the coder in here reads 16 values a token, but layers.0.mlp.down_proj.input of"
    ):
        check(subject, identity("layers.0.mlp.down_proj.input"))
    with pytest.raises(
        GlossaError, match=r"^the coder in here gives 16 values a token, but layers.0.mlp.up_proj of the"
    ):
        check(subject, identity("layers.0", reconstructs="layers.0.mlp.up_proj"))
    with pytest.raises(GlossaError, match=r"no hookpoint layers.7"):
        check(subject, identity("layers.7"))
    broken = Subject(families.make("llama"), "broken", {}, torch.device("cpu"))
    broken.modules["layers.1.mlp.down_proj"].weight.fill_(torch.nan)
    with pytest.raises(GlossaError, match=r"^layers.1 of the subject broken is NaN or infinite at some tokens; try"):
        check(broken, replace(identity("layers.1"), activation=TopK(3)), ids=torch.ones(2, LENGTH, dtype=torch.long))

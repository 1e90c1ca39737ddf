"""Figures of coders that follow from how they are built."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from stages.coders import neurons, random
from stages.coders.activations import TopK
from stages.errors import GlossaError
from stages.subject.load import Subject
from tests import families
from tests.coders.checked import (
    LENGTH,
    NONE_SPECIAL,
    ROWS,
    affine,
    at,
    better,
    check,
    fvu,
    identity,
    principal,
    written,
)
from tests.conftest import WIDTH


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

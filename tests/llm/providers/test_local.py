from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from stages.errors import GlossaError
from stages.llm.providers import local
from stages.llm.providers.identity import identity
from stages.llm.providers.local import Local, Row
from tests import families
from tests.llm import small_models

PROMPTS = ["The quick brown fox", "Is it", "Explanation: the lazy dog jumps over the quick brown fox, is it not"]
CONTINUATIONS = [" jumps over the lazy dog.", ' true? "It is false."', "\n\nExamples: 1984"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Local:
    return local.load(str(small_models.make(tmp_path_factory.mktemp("models") / "tiny")), None, "float32")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Local:
    """A model without a chat template."""
    return local.load(str(small_models.make(tmp_path_factory.mktemp("models") / "plain", None)), None, "float32")


def by_hand(model: Any, ids: list[int], place: int, token: int) -> float:
    """The log-probability of ``token`` behind the first ``place`` tokens, computed for these alone."""
    with torch.inference_mode():
        logits = model(torch.tensor([ids[:place]])).logits[0, -1].double()
    return float(logits[token] - logits.logsumexp(0))


def test_log_probabilities_are_those_of_a_loop_over_single_tokens(model: Local) -> None:
    for prompt, continuation, (tokens, found) in zip(
        PROMPTS, CONTINUATIONS, model.log_probabilities(PROMPTS, CONTINUATIONS), strict=True
    ):
        head = model.encode(prompt)
        assert head + tokens == model.encode(prompt + continuation)
        expected = [by_hand(model.model, head + tokens, len(head) + i, token) for i, token in enumerate(tokens)]
        assert found == pytest.approx(expected, abs=2e-5)


def test_nothing_is_left_over_from_earlier_texts(model: Local) -> None:
    first = model.log_probabilities(PROMPTS, CONTINUATIONS)
    model.log_probabilities([PROMPTS[2]], [CONTINUATIONS[1]])
    again = model.log_probabilities(PROMPTS, CONTINUATIONS)
    for (_, one), (_, other) in zip(first, again, strict=True):
        assert one.tobytes() == other.tobytes()
    alone = [model.log_probabilities([PROMPTS[i]], [CONTINUATIONS[i]])[0] for i in range(3)]
    for (_, one), (_, other) in zip(first, alone, strict=True):
        assert one == pytest.approx(other, abs=2e-5)


@pytest.mark.parametrize("family", families.SPECIAL)
def test_filling_up_changes_nothing_in_any_architecture(model: Local, family: str) -> None:
    torch_model = families.make(family)
    other = Local(family, torch_model, model.tokenizer, 1000)
    generator = np.random.default_rng(0)
    rows = []
    for length in (3, 20, 11, 1):
        ids = generator.integers(0, families.WORDS, length).tolist()
        rows.append(Row(ids, [(place, int(generator.integers(families.WORDS))) for place in range(1, length + 1)]))
    for row, found in zip(rows, other.read(rows), strict=True):
        expected = [by_hand(torch_model, row.ids, place, token) for place, token in row.wanted]
        assert found == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("family", families.SPECIAL)
def test_a_beginning_that_is_read_once_changes_nothing_in_any_architecture(model: Local, family: str) -> None:
    other = Local(family, families.make(family), model.tokenizer, 120)
    generator = np.random.default_rng(0)
    head, another = generator.integers(0, families.WORDS, (2, 15)).tolist()
    for beginning in (head, another, head[:2], head[:1], head):
        rows = [Row.behind(beginning, generator.integers(0, families.WORDS, n).tolist()) for n in (3, 20, 0, 11, 1)]
        rows.append(Row([*beginning, 5, 6, 7], [(len(beginning) + 3, 8), (len(beginning) + 1, 6), (len(beginning), 9)]))
        for one, found in zip(other.read(rows), other.read_behind(beginning, rows), strict=True):
            assert found == pytest.approx(one, abs=5e-5)
    with pytest.raises(GlossaError, match="reads at most"):
        other.read_behind(head, [Row.behind(head, [1] * 60), Row.behind(head, [1])])


def test_no_continuation_has_no_probabilities(model: Local) -> None:
    ((tokens, found),) = model.log_probabilities(["a"], [""])
    assert (tokens, found.tolist()) == ([], [])


def test_a_prompt_begins_with_what_the_tokenizer_puts_in_front(tmp_path: Path) -> None:
    folder = small_models.make(tmp_path / "bos")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": small_models.TURN, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {small_models.TURN: {"id": small_models.TURN, "ids": [1], "tokens": [small_models.TURN]}},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    model = local.load(str(folder), None, "float32")
    ((tokens, found),) = model.log_probabilities(["The fox"], [" jumps"])
    ids = [1, *model.encode("The fox jumps")]
    assert ids[-len(tokens) :] == tokens
    first = len(ids) - len(tokens)
    assert found == pytest.approx([by_hand(model.model, ids, first + i, t) for i, t in enumerate(tokens)], abs=2e-5)
    ((_, at_the_beginning),) = model.log_probabilities([""], ["The"])
    assert at_the_beginning == pytest.approx(
        [by_hand(model.model, [1, *model.encode("The")], 1, model.encode("The")[0])]
    )


def test_the_first_token_of_a_text_has_no_probability_without_a_beginning(model: Local) -> None:
    with pytest.raises(GlossaError, match="should have a token, found none"):
        model.log_probabilities([""], ["a"])


def test_a_text_is_read_where_it_stands() -> None:
    """A tokenizer that marks the beginning of every text, as SentencePiece does."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: number for number, word in enumerate(["<unk>", "\u2581The", "\u2581fox", "fox", "\u2581"])}
    bpe = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    bpe.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    model = families.make("llama")
    stub = Local("stub", model, PreTrainedTokenizerFast(tokenizer_object=bpe), 1000)
    assert stub.encode(" fox") == [2]
    assert stub.after("The", " fox") == [2]
    assert stub.encode("The fox") == [1, 2]


def test_generation_is_that_of_a_loop_over_the_likeliest_tokens(model: Local) -> None:
    prompts = [model.encode(prompt) for prompt in PROMPTS]
    no_draws = [np.empty(0)] * 3
    for prompt, said in zip(prompts, model.generate(prompts, [6, 3, 6], 0, no_draws), strict=True):
        ids = list(prompt)
        limit = 3 if prompt is prompts[1] else 6
        for _ in range(limit):
            with torch.inference_mode():
                ids.append(int(model.model(torch.tensor([ids])).logits[0, -1].argmax()))
        assert 0 not in ids[len(prompt) :], "the random model ends here, so this shows less than it should"
        assert said == (model.tokenizer.decode(ids[len(prompt) :]), limit, False)


def test_an_answer_ends_where_the_model_ends_it(model: Local) -> None:
    assert model._told([5, 6, 0, 0, 0], 5) == (model.tokenizer.decode([5, 6]), 3, True)
    assert model._told([5, 6, 0], 3) == (model.tokenizer.decode([5, 6]), 3, True)
    assert model._told([5, 6, 7, 0], 3) == (model.tokenizer.decode([5, 6, 7]), 3, False)
    assert model._told([5, 6, 7, 0], 2) == (model.tokenizer.decode([5, 6]), 2, False)


def test_what_is_drawn_depends_on_its_own_draws_only(model: Local) -> None:
    prompts = [model.encode(prompt) for prompt in PROMPTS]
    draws = [np.random.default_rng(i).random(8) for i in range(3)]
    together = model.generate(prompts, [8, 8, 8], 1.0, draws)
    assert together[1] == model.generate([prompts[1]], [8], 1.0, [draws[1]])[0]
    assert together[1] != model.generate([prompts[1]], [8], 1.0, [draws[0]])[0]


def test_draws_hit_tokens_as_often_as_the_model_says(model: Local) -> None:
    prompt = model.encode("Is it")
    draws = [np.array([(i + 0.5) / 400]) for i in range(400)]
    said = [one.text for one in model.generate([prompt] * 400, [1] * 400, 0.5, draws)]
    with torch.inference_mode():
        share = (model.model(torch.tensor([prompt])).logits[0, -1].double() / 0.5).softmax(0)
    texts = [model.tokenizer.decode([token], skip_special_tokens=True) for token in range(len(share))]
    expected = {text: sum(share[i].item() for i, other in enumerate(texts) if other == text) for text in set(said)}
    assert len(expected) > 5
    for text, probability in expected.items():
        assert said.count(text) / 400 == pytest.approx(probability, abs=0.01)


def test_how_a_model_was_sampled_by_its_authors_does_not_matter(tmp_path: Path) -> None:
    folder = small_models.make(tmp_path / "own")
    before = local.load(str(folder), None, "float32")
    prompt = [before.encode(PROMPTS[0])]
    said = before.generate(prompt, [8], 0, [np.empty(0)])
    config = {"do_sample": True, "temperature": 9.0, "repetition_penalty": 50.0, "eos_token_id": [0, 1]}
    (folder / "generation_config.json").write_text(json.dumps(config))
    local.load.cache_clear()
    after = local.load(str(folder), None, "float32")
    assert after.generate(prompt, [8], 0, [np.empty(0)]) == said
    assert after._ends == [0, 1]  # but where it ends does


def test_without_a_template_an_answer_ends_before_the_next_turn(plain: Local) -> None:
    tokens = plain.encode(" It is.\n\nuser: And?")
    assert plain._told(tokens, 50) == (" It is.", len(tokens), True)
    assert plain.generate([plain.encode("user: Q\n\nassistant:")], [4], 0, [np.empty(0)])[0].tokens == 4


def test_out_of_memory_halves_what_goes_through_at_once(
    model: Local, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [Row(list(range(10, 20)), [(10, 5)]) for _ in range(16)]
    expected = model.read(rows)
    forward, sizes = model.model.forward, []

    def small(input_ids: torch.Tensor, **options: Any) -> Any:
        sizes.append(len(input_ids))
        if len(input_ids) > 3:
            raise torch.OutOfMemoryError("no memory")
        return forward(input_ids=input_ids, **options)

    monkeypatch.setattr(model.model, "forward", small)
    monkeypatch.setattr(model.headroom, "tokens", 10_000)
    assert np.allclose(model.read(rows), expected, atol=2e-5)
    assert sizes == [16, 8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    assert "out of memory with 40 tokens at once; going on with 20 (batch_tokens" in capsys.readouterr().err


def test_a_single_text_that_is_too_much_is_said(model: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(**options: Any) -> Any:
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(model.model, "forward", none)
    with pytest.raises(GlossaError, match="memory for 10 tokens through the model"):
        model.read([Row(list(range(10, 20)), [(10, 5)])])
    monkeypatch.setattr(model.model, "forward", lambda **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.read([Row([1], [(1, 5)])])


def test_texts_that_are_too_long_and_numbers_that_are_none_are_said(
    model: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(GlossaError, match="reads at most 1,024 tokens, but a prompt with its answer has 1,025"):
        model.read([Row([5] * 1025, [(1025, 5)])])
    weight = model.model.lm_head.weight
    broken = torch.full_like(weight, torch.nan)
    with monkeypatch.context() as patch:
        patch.setattr(model.model.lm_head, "weight", torch.nn.Parameter(broken, requires_grad=False))
        with pytest.raises(GlossaError, match="set its dtype to bfloat16 or float32"):
            model.read([Row([5], [(1, 5)])])


@pytest.mark.parametrize("damage", ["no model", "no tokenizer", "nothing"])
def test_what_is_no_language_model_is_a_mistake(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "m"
    if damage != "nothing":
        small_models.make(folder)
        for file in folder.glob("model*" if damage == "no model" else "tokenizer*"):
            file.unlink()
    with pytest.raises(GlossaError, match=r"models\.\*\.model should"):
        local.load(str(folder), None, "float32")


def test_a_repository_counts_by_name_and_commit(hub: Any, tmp_path: Path) -> None:
    repository = hub.add("some/judge", small_models.make(tmp_path / "m"), inside=".")
    by_branch = identity("some/judge", "main", "float32")
    identity.cache_clear()
    assert identity("some/judge", repository.branches["main"], "float32") == by_branch
    model = local.load("some/judge", "main", "float32")
    assert isinstance(model.tokenizer, type(AutoTokenizer.from_pretrained(tmp_path / "m")))
    assert model.generate([model.encode("Is it")], [2], 0, [np.empty(0)])[0].tokens == 2

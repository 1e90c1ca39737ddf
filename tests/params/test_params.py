from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from stages import params, registry
from stages.errors import GlossaError
from tests.clones import ROOT
from tests.conftest import PARAMS

Load = Callable[[str], params.Params]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(text: str) -> params.Params:
        path = tmp_path / "params.yaml"
        path.write_text(text, encoding="utf-8")
        return params.load(path)

    return load


def changed(old: str, new: str) -> str:
    assert old in PARAMS
    return PARAMS.replace(old, new, 1)


def mistake(load: Load, text: str) -> str:
    with pytest.raises(GlossaError) as caught:
        load(text)
    message = str(caught.value)
    assert "\n" not in message
    assert "params.yaml" in message
    return message.split("params.yaml", 1)[1].removeprefix(": ")


def test_what_is_left_out_gets_its_default(load: Load) -> None:
    p = load(PARAMS)
    assert (p.cache.precision, p.subject.dtype, p.subject.weights, p.scorers, p.report.examples) == (
        "exact", "float32", "trained", {}, 6,
    )  # fmt: skip
    assert isinstance(p.corpus, params.LocalText)
    assert p.corpus.field == "text"
    assert p.corpus.tokens == 3200


def test_sections_never_change_once_read(load: Load) -> None:
    p = load(PARAMS)
    with pytest.raises(ValidationError, match="frozen"):
        p.seed = 1


ONE = "{path: coders/one, hookpoint: layers.0}"
CHOICE = "sampling.latents should be all, {first: N}, {random: N} with N at least 1, or a list of latents"
PRECISION = "cache.precision should be exact, bf16 or the number of mantissa bits kept, 1 to 23, found"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # unknown keys
        ("seed:", "sed:", "the file has no key 'sed'; did you mean seed?"),
        ("context_length:", "contex_length:", "corpus has no key 'contex_length'; did you mean context_length?"),
        ("per_decile:", "per_decil:", "sampling.test has no key 'per_decil'; did you mean per_decile?"),
        ("{random: 10}", "{randoms: 10}", "sampling.test.negatives has no key 'randoms'; did you mean random?"),
        ("n: 6", "n: 6, negatives: {surfaces: 1}", "sampling.train.negatives has no key 'surfaces'; did you mean surface?"),
        ("n: 6", "n: 6, negatives: {1: 1}", "sampling.train.negatives has no key '1'; known are neighbour, random, semantic, surface"),
        ("hookpoint: layers.1", "hook: layers.1", "coders.two has no key 'hook'; did you mean hookpoint?"),
        ("path: texts,", "path: texts, zzz: 1,", "corpus has no key 'zzz'; known are"),
        # wrong types: nothing is converted
        ("tokens: 3_200", 'tokens: "500"', "corpus.tokens should be a valid integer, found '500'"),
        ("tokens: 3_200", "tokens: 5e5", "corpus.tokens should be a valid integer, found 500000.0"),
        ("tokens: 3_200", "tokens: true", "corpus.tokens should be a valid integer, found True"),
        ("path: texts", "path: 3", "corpus.path should be a valid string, found 3"),
        ("path: texts", "path: texts, chat: 3", "corpus.chat should be true, false or the path of a chat template, found 3"),
        ("path: texts", "path: texts, chat: true", "corpus should have no chat, as files of text hold no messages; use source"),
        ("{model: subject}", "subject", "subject should be a mapping of keys to values, found 'subject'"),
        ("{path: coders/one, hookpoint: layers.0}", "5", "coders.one should be a mapping of keys to values, found 5"),
        ("{random: 10}", "{random: 1.0}", "sampling.test.negatives.random should be a valid integer, found 1.0"),
        ("{random: 10}", "{surface: true}", "sampling.test.negatives.surface should be a valid integer, found True"),
        ("{random: 10}", "{surface: null}", "sampling.test.negatives.surface should be a valid integer, found None"),
        ("{random: 10}", "10", "sampling.test.negatives should be a mapping of keys to values, found 10"),
        ("n: 6", "n: 6, negatives: [random]", "sampling.train.negatives should be a mapping of keys to values, found ['random']"),
        ("n: 6", "n: 6, negatives: null", "sampling.train.negatives should be a mapping of keys to values, found None"),
        ("{kind: pattern}", "pattern", "explainers.pattern should be a mapping of keys to values, found 'pattern'"),
        # out of range
        ("seed: 0", "seed: -1", "seed should be greater than or equal to 0, found -1"),
        ("seed: 0", f"seed: {2**63}", f"seed should be less than {2**63}, found {2**63}"),
        ("bos: <|end|>", "bos: null", "corpus.bos should be a valid string, found None"),
        ("window: 8", "window: 8\n  skip_first: 32", "sampling.skip_first should leave something of the 32 columns of a row"),
        ("context_length: 32", "context_length: 4", "corpus.context_length should be greater than or equal to 8, found 4"),
        ("n: 6", "n: 0", "sampling.train.n should be greater than or equal to 1, found 0"),
        ("{random: 10}", "{random: -1}", "sampling.test.negatives.random should be greater than or equal to 0, found -1"),
        ("quantile", "best", "sampling.train.strategy should be 'quantile', 'random', 'top' or 'mix', found 'best'"),
        # the source of the corpus
        ("source: text", "source: txt", "corpus.source should be one of 'installed-docs', 'text', 'jsonl', 'parquet', 'hub'"),
        ("source: text, ", "", "corpus.source is missing; add it"),
        # what is missing
        ("subject: {model: subject}\n", "", "subject is missing; add it"),
        ("path: coders/one, ", "", "coders.one.path is missing; add it"),
        ("{kind: pattern}", "{}", "explainers.pattern should have a kind, found {}"),
        ("explainers:\n  pattern: {kind: pattern}", "explainers: {}", "explainers should not be empty; name at least one"),
        # coders and controls
        (ONE, "{path: a, norm_factor: 0}", "coders.one.norm_factor should be greater than 0, found 0"),
        (ONE, "{path: a, norm_factor: .inf}", "coders.one.norm_factor should be a finite number, found inf"),
        (ONE, "{path: a, centre: 1}", "coders.one.centre should be a valid boolean, found 1"),
        (ONE, "{kind: neuron, k: 3}", "coders.one.kind should be neurons or random, or left out for a coder with a path, found 'neuron'"),
        (ONE, "{kind: [], k: 3}", "coders.one.kind should be neurons or random, or left out for a coder with a path, found []"),
        (ONE, "{kind: neurons, k: 3}", "coders.one.hookpoint is missing; add it"),
        (ONE, "{kind: neurons, hookpoint: a, k: 0}", "coders.one.k should be greater than or equal to 1, found 0"),
        (ONE, "{kind: neurons, hookpoint: a, k: 1, path: b}", "coders.one has no key 'path'; known are hookpoint, k, kind"),
        (ONE, "{kind: random, hookpoint: a, k: 1}", "coders.one.latents is missing; add it"),
        (ONE, "{kind: random, hookpoint: a, latents: 4, k: 1, seed: -1}", "coders.one.seed should be greater than or equal to 0"),
        ("  one: {path", "  random: {pth", "coders.random has no key 'pth'; did you mean path?"),
        ("{model: subject}", "{model: a, quantization: 3bit}", "subject.quantization should be 'none', '8bit' or '4bit', found '3bit'"),
        # names
        ("  one:", "  One:", "the name coders.One should hold only a-z, 0-9 and _; rename it"),
        ("  one:", "  one-a:", "the name coders.one-a should hold only a-z, 0-9 and _; rename it"),
        ("  one:", "  ../one:", "the name coders.../one should hold only a-z, 0-9 and _; rename it"),
        ("  one:", "  1:", "the name coders.1 should be text, found 1; put it in quotes"),
        ("  pattern:", "  a b:", "the name explainers.a b should hold only a-z, 0-9 and _; rename it"),
        # the window
        ("window: 8", "window: 12", "sampling.window should divide corpus.context_length, found 12 and 32; choose one"),
        ("window: 8", "window: 8\n  centre: 8", "sampling.centre should be a column of the window, 0 to 7, found 8; choose one"),
        ("window: 8", "window: 8\n  centre: -1", "sampling.centre should be greater than or equal to 0, found -1"),
        # which latents
        ("latents: all", "latents: al", f"{CHOICE}, whole numbers from 0 up, found 'al'"),
        ("latents: all", "latents: {last: 3}", CHOICE),
        ("latents: all", "latents: {first: 3, random: 3}", CHOICE),
        ("latents: all", "latents: {first: 0}", CHOICE),
        ("latents: all", "latents: {random: null}", CHOICE),
        ("latents: all", "latents: {random: true}", CHOICE),
        ("latents: all", "latents: []", CHOICE),
        ("latents: all", "latents: [3, -1]", CHOICE),
        ("latents: all", "latents: [3, x]", CHOICE),
        ("latents: all", "latents: 3", CHOICE),
        # YAML
        ("seed: 0", "seed: [0", " should be YAML, but it can't be read: expected ',' or ']', but got ':' at line 2"),
        ("seed: 0", "seed: 0\nseed: 1", ' should be YAML, but it can\'t be read: found duplicate key "seed"'),
        ("seed: 0", "seed: *none", " should be YAML, but it can't be read: found undefined alias 'none' at line 1"),
        ("seed: 0", "seed: \x07", " should be YAML, but it can't be read: unacceptable character"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_that_names_the_key(load: Load, old: str, new: str, expected: str) -> None:
    assert mistake(load, changed(old, new)).startswith(expected)


@pytest.mark.parametrize("precision", ["bf15", "24", "0", "1.5", "true", "[7]", "null"])
def test_a_wrong_precision_names_what_is_allowed(load: Load, precision: str) -> None:
    assert mistake(load, PARAMS + f"cache: {{precision: {precision}}}").startswith(PRECISION)


@pytest.mark.parametrize("precision", ["exact", "bf16", 1, 10, 23])
def test_precision_is_a_word_or_a_number_of_bits(load: Load, precision: str | int) -> None:
    assert load(PARAMS + f"cache: {{precision: {precision}}}").cache.precision == precision


@pytest.mark.parametrize(
    ("written", "how", "n", "latents"),
    [
        ("all", "all", None, ()),
        ("{first: 3}", "first", 3, ()),
        ("{random: 5}", "random", 5, ()),
        ("[7, 0, 7]", "list", None, (7, 0, 7)),
    ],
)
def test_latents_may_be_written_in_four_ways(
    load: Load, written: str, how: str, n: int | None, latents: tuple[int, ...]
) -> None:
    choice = load(changed("latents: all", f"latents: {written}")).sampling.latents
    assert (choice.how, choice.n, choice.latents) == (how, n, latents)


def test_a_coder_is_saved_somewhere_or_a_control(load: Load) -> None:
    text = changed("coders:\n", (
        "coders:\n"
        "  far: {path: hub://some/coders/layers.1@v1}\n"
        "  neurons: {kind: neurons, hookpoint: layers.0.mlp, k: 32}\n"
        "  random: {kind: random, hookpoint: layers.1, latents: 64, k: 4}\n"
        "  again: {kind: random, hookpoint: layers.1, latents: 64, k: 4, seed: 1}\n"
        "  scaled: {path: a, norm_factor: 2, centre: true}\n"
    ))  # fmt: skip
    found = load(text).coders
    assert found["far"] == params.Coder(path="hub://some/coders/layers.1@v1")
    assert found["neurons"] == params.Neurons(kind="neurons", hookpoint="layers.0.mlp", k=32)
    assert found["random"] == params.RandomCoder(kind="random", hookpoint="layers.1", latents=64, k=4, seed=0)
    assert found["again"] != found["random"]
    assert found["scaled"] == params.Coder(path="a", norm_factor=2.0, centre=True)
    assert found["one"] == params.Coder(path="coders/one", hookpoint="layers.0")


@pytest.mark.parametrize(
    ("text", "found"),
    [("", "None"), ("# nothing\n", "None"), ("[1, 2]", "[1, 2]"), ("seed", "'seed'")],
)
def test_a_file_that_is_no_mapping_is_refused(load: Load, text: str, found: str) -> None:
    assert mistake(load, text) == f"the file should be a mapping of keys to values, found {found}"


def test_a_corpus_that_is_no_mapping_is_refused(load: Load) -> None:
    text = changed("{source: text, path: texts, context_length: 32, tokens: 3_200, bos: <|end|>}", "texts")
    assert mistake(load, text) == "corpus should be a mapping of keys to values, found 'texts'"


def test_what_was_found_is_cut_short_when_it_is_long(load: Load) -> None:
    message = mistake(load, changed("latents: all", f"latents: {[*range(1000), -1]}"))
    assert message.endswith("…")
    assert len(message) < 300


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GlossaError, match=r"expected .*nowhere\.yaml in .*, but there is no such file; run Glossa in"):
        params.load(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 300 + "]" * 300, "nested too deeply"),
        ("a: &a [*a]", "nested too deeply"),
        ("seed: " + "9" * 5000, "a number in it has more than 4,300 digits"),
        (
            "a0: &a0 [1, 1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 25)),
            "it stands for more than 1,000,000 values",
        ),
    ],
    ids=["deep", "circle", "digits", "anchors"],
)
def test_what_no_parser_likes_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(GlossaError, match=f"params.yaml should be YAML, but it can't be read: .*{said}$"):
        params.load(tmp_path / "params.yaml")


def test_a_folder_is_no_file_of_params(tmp_path: Path) -> None:
    with pytest.raises(GlossaError, match=r"expected a file of YAML at .*, but that is a folder; correct it"):
        params.load(tmp_path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(b"seed: \xff\xfe")
    with pytest.raises(GlossaError, match="should be YAML, but it can't be read: 'utf-8' codec"):
        params.load(path)


def test_anchors_resolve_so_that_every_entry_holds_all_it_depends_on(load: Load) -> None:
    text = PARAMS + (
        "models:\n  judge: &judge {provider: openai, temperature: 0}\n"
        "scorers:\n  detection: {kind: detection, model: *judge}\n  merged: {<<: *judge, kind: fuzzing}\n"
    )
    p = load(text)
    assert p.scorers["detection"]["model"] == {"provider": "openai", "temperature": 0}
    assert p.scorers["merged"] == {"provider": "openai", "temperature": 0, "kind": "fuzzing"}


@pytest.mark.parametrize(
    ("corpus", "kind"),
    [
        ("{source: installed-docs, packages: [numpy], context_length: 32, tokens: 64}", params.InstalledDocs),
        ("{source: jsonl, path: a, field: body, context_length: 32, tokens: 64}", params.LocalText),
        ("{source: parquet, path: a, context_length: 32, tokens: 64}", params.LocalText),
        ("{source: hub, path: a/b, revision: abc, context_length: 32, tokens: 64}", params.HubDataset),
        ("{source: tokens, path: ids.npy, context_length: 32, tokens: 64}", params.TokenIds),
    ],
)
def test_the_source_decides_which_keys_the_corpus_has(load: Load, corpus: str, kind: type) -> None:
    old = "{source: text, path: texts, context_length: 32, tokens: 3_200, bos: <|end|>}"
    assert isinstance(load(changed(old, corpus)).corpus, kind)


@pytest.mark.parametrize(
    ("written", "chat"),
    [
        ("", None),
        (", chat: null", None),
        (", chat: false", None),
        (", chat: true", True),
        (", chat: a.jinja", "a.jinja"),
    ],
)
def test_a_corpus_is_a_chat_if_it_says_so(load: Load, written: str, chat: bool | str | None) -> None:
    found = load(changed("source: text, path: texts", f"source: jsonl, path: texts{written}")).corpus
    assert isinstance(found, params.LocalText)
    assert found.chat == chat


@pytest.mark.parametrize(
    ("written", "test", "train"),
    [
        (None, {"random": 100}, {}),
        ("{}", {"random": 100}, {}),
        ("{random: 0}", {}, {}),
        ("{random: 7, surface: 0}", {"random": 7}, {"random": 7}),
        ("{surface: 3}", {"random": 100, "surface": 3}, {"surface": 3}),
        ("{surface: 3, neighbour: 2, random: 1}",) + ({"random": 1, "neighbour": 2, "surface": 3},) * 2,
    ],
)
def test_kinds_of_negatives_that_are_not_named_are_0_but_for_the_test_s_random_ones(
    load: Load, written: str | None, test: dict[str, int], train: dict[str, int]
) -> None:
    text = changed(", negatives: {random: 10}", "" if written is None else f", negatives: {written}")
    if written is not None:
        text = text.replace("n: 6", f"n: 6, negatives: {written}").replace(
            "  test:", f"  validation: {{n: 2, negatives: {written}}}\n  test:"
        )
    sampling = load(text).sampling
    assert (sampling.test.negatives, sampling.train.negatives, sampling.validation.negatives) == (test, train, train)
    assert list(sampling.test.negatives) == [kind for kind in registry.NEGATIVES if kind in test]


def test_without_a_word_on_the_test_it_has_random_negatives(load: Load) -> None:
    sampling = load(changed("  test: {per_decile: 1, negatives: {random: 10}}\n", "")).sampling
    assert (sampling.test.per_decile, sampling.test.negatives) == (10, {"random": 100})


def test_the_project_s_own_params_are_valid() -> None:
    assert params.load(ROOT / "params.yaml").coders

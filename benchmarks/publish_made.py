"""A made-up project in which every stage before the report has run, written by the stages' own writers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

WINDOW, CONTEXT, VOCABULARY, TOKENS, SEED = 32, 256, 50_304, 4_000_000, 0
TRAIN, TEST, NEGATIVE, AT_ONCE = 40, 50, 50, 5
EXAMPLES = 10
SCORERS = {"detection": True, "fuzzing": False}
"""Whether each has a transcript."""
RATE, MEASURES = 0.01, ("balanced_accuracy", "sensitivity", "specificity", "precision", "f1", "natural_f1")


class Made(NamedTuple):
    """What is made up."""

    folder: Path
    coders: int
    latents: int
    """Of each."""

    @property
    def names(self) -> list[str]:
        """Of the coders."""
        return [f"layer{number}" for number in range(self.coders)]


def params(case: Made) -> str:
    model = {"provider": "openai", "endpoint": "lab", "model": "made-up"}
    return json.dumps(
        {
            "seed": SEED,
            "corpus": {"source": "text", "path": "texts", "context_length": CONTEXT, "tokens": TOKENS},
            "subject": {"model": "made-up/subject"},
            "coders": {
                name: {"path": f"coders/{name}", "hookpoint": f"layers.{place}"}
                for place, name in enumerate(case.names)
            },
            "sampling": {"latents": "all", "window": WINDOW, "train": {"n": TRAIN}, "test": {"per_decile": TEST // 10}},
            "explainers": {"default": {"kind": "default", "model": model}},
            "scorers": {name: {"kind": name, "model": model, "examples_per_prompt": AT_ONCE} for name in SCORERS},
            "report": {"examples": EXAMPLES},
        },
        indent=1,
    )


def corpus() -> None:
    """Tokens on Zipf's law; some are pieces of a character."""
    from stages import paths
    from stages.corpus import tokens

    generator = np.random.default_rng(SEED)
    letters = np.array(list("etaoinshrdlucmfwypvbgkqjxz"))
    words = [("" if n % 3 else " ") + "".join(generator.choice(letters, 1 + n % 9)) for n in range(VOCABULARY)]
    spellings = [word.encode() if n % 400 else bytes([0xC3 if n % 800 else 0xA9]) for n, word in enumerate(words)]
    special = np.zeros(VOCABULARY, bool)
    spellings[0], special[0] = b"<|endoftext|>", True
    ids = np.minimum(generator.zipf(1.2, TOKENS), VOCABULARY - 1).astype(np.int32).reshape(-1, CONTEXT)
    ids[:, 0] = 0
    counts = np.bincount(ids.ravel(), minlength=VOCABULARY)
    starts = np.arange(0, TOKENS, 1024)
    documents = pa.table(
        {"name": [f"document {n}" for n in range(len(starts))], "start": starts, "n_tokens": np.full(len(starts), 1024)}
    )
    meta = {
        "documents": len(starts),
        "special_positions": len(ids),
        "tokenizer": {"model": "made-up", "revision": None},
    }
    tokens.write(paths.TOKENS, ids, documents, tokens.Vocabulary(spellings, counts, special), meta)


def coder(case: Made, name: str) -> None:
    """Examples, explanations and scores of one coder."""
    from stages.corpus.tokens import Tokens

    tokens = Tokens.open()
    number = case.names.index(name)
    generator = np.random.default_rng([SEED, number])
    starts = _examples(case, name, number, generator, tokens)
    flat = tokens.matrix.reshape(-1)

    def text(start: int) -> str:
        return tokens.vocabulary.text(flat[start : start + WINDOW])

    explanations = [f'Fires on "{text(int(of[0]))[:30]}" in prose about numbers and names.' for of in starts]
    _explain(name, explanations, starts, text)
    for scorer, asked in SCORERS.items():
        _score(name, scorer, explanations, starts[:, TRAIN:], text if asked else None, generator)


def _examples(case: Made, name: str, number: int, generator: np.random.Generator, tokens: Any) -> np.ndarray:
    """Returns [latents, windows] starts: train, test, silent."""
    from stages import paths
    from stages.examples import table
    from stages.outputs import new_directory, write_meta, write_table

    n = TRAIN + TEST + NEGATIVE
    blocks = TOKENS // WINDOW
    starts = (generator.integers(0, blocks // n, (case.latents, n)) + np.arange(n) * (blocks // n)) * WINDOW
    starts = generator.permuted(starts, axis=1)
    deciles = np.concatenate(
        [np.arange(TRAIN) * 10 // TRAIN + 1, np.arange(TEST) * 10 // TEST + 1, np.zeros(NEGATIVE, int)]
    )
    fires = np.arange(n) < TRAIN + TEST
    roles = pa.array(["train"] * TRAIN + ["test"] * (TEST + NEGATIVE))
    kinds = pa.array([None] * (TRAIN + TEST) + ["random"] * NEGATIVE, pa.string())
    with new_directory(paths.examples(name)) as partial:
        with table.WindowsWriter(partial / "windows.parquet") as writer:
            for latent in range(case.latents):
                values = np.zeros((TRAIN + TEST, WINDOW), np.float32)
                places = generator.integers(0, WINDOW, (TRAIN + TEST, 3))
                strengths = generator.gamma(2.0, 1.0, places.shape) * (11 - deciles[fires])[:, None]
                np.put_along_axis(values, places, strengths.astype(np.float32), axis=1)
                offsets = np.append(np.arange(TRAIN + TEST + 1), np.full(NEGATIVE, TRAIN + TEST)) * WINDOW
                activations = pa.ListArray.from_arrays(offsets.astype(np.int32), values.ravel(), mask=pa.array(~fires))
                maxima = np.append(values.max(axis=1), np.zeros(NEGATIVE, np.float32))
                columns = [
                    np.full(n, latent, np.int32),
                    roles,
                    kinds,
                    deciles.astype(np.int8),
                    starts[latent],
                    maxima,
                    activations,
                ]
                writer.add(pa.table(columns, schema=table.windows_schema()))
        schema = table.latents_schema()
        facts = {
            "count": 4000, "density": 1e-3, "max": 30.0, "mean": 3.0, "histogram": list(range(20)), "n_windows": 1250,
            "n_train": TRAIN, "n_test": TEST, "n_negatives": {"random": NEGATIVE}, "top_tokens": list(range(1, 11)), "top_values": [0.5] * 10,
            "bottom_tokens": list(range(11, 21)), "bottom_values": [-0.5] * 10,
        }  # fmt: skip
        rows = [dict.fromkeys(schema.names) | facts | {"latent": latent} for latent in range(case.latents)]
        write_table(partial / "latents.parquet", pa.Table.from_pylist(rows, schema))
        meta = {
            "hookpoint": f"layers.{number}", "subject": {"model": "made-up/subject", "weights": "trained", "sha256": "0" * 64},
            "coder": {"format": "sparsify", "path": f"coders/{name}", "k": 32}, "n_latents": case.latents, "dead": 0,
            "n_events": 4000 * case.latents, "window": WINDOW, "windows": blocks, "chosen": case.latents,
            "kept": case.latents, "dropped": {}, "tokens_sha256": tokens.sha256,
        }  # fmt: skip
        write_meta(partial, table.SCHEMA, table.VERSION, meta)
    return starts


def _explain(name: str, texts: list[str], starts: np.ndarray, text: Any) -> None:
    from stages import paths
    from stages.explainers import default, prompt, table
    from stages.explainers.form import Form
    from stages.llm.journal.transcript import recording

    turns = [turn._asdict() for turn in prompt.read(default.Options.PROMPT.read_text("utf-8"), Form(True, False))]
    out = paths.explanations(name, "default")
    with recording(out) as recorder:
        found = []
        for latent, said in enumerate(texts):
            lines = "\n".join(text(start) for start in starts[latent, :TRAIN].tolist())
            call = _call([*turns, {"role": "user", "content": lines}], json.dumps({"explanation": said}))
            recorder.record(call)
            found.append(table.Explanation(latent, said, None, {"model": "made-up"}, call.key))
        table.write(out, found, {"coder": name, "explainer": "default"}, recorder)


def _call(messages: list[dict[str, str]], answer: str) -> Any:
    from stages.llm.call import Call
    from stages.llm.journal import canonical

    request = canonical.encode({"messages": messages, "model": "made-up", "temperature": 0, "max_tokens": 500})
    usage = {"prompt_tokens": len(request) // 4, "completion_tokens": len(answer) // 4}
    choice = {"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}
    response = json.dumps({"id": "x" * 30, "model": "made-up", "choices": [choice], "usage": usage}).encode()
    return Call(canonical.key("lab", request, 0), "lab", canonical.CHAT, 0, 200, request, response)


def _score(
    name: str, scorer: str, texts: list[str], starts: np.ndarray, text: Any, generator: np.random.Generator
) -> None:
    """Verdicts that are right four times out of five; their figures are made up as well."""
    from stages import paths, scorers
    from stages.llm.journal.transcript import recording
    from stages.scorers import table
    from stages.scorers.metrics import BALANCED_ACCURACY

    n, shown = starts.shape
    system = Path(scorers.__file__).with_name("detection.md").read_text("utf-8")
    out = paths.scores(name, "default", scorer)
    with recording(out) as recorder:
        keys = np.full((2, n, shown), None, object)
        if text is not None:
            for latent in range(n):
                windows = [text(start) for start in starts[latent].tolist()]
                for control in range(2):
                    user = f"Explanation: {texts[(latent + control) % n]}\n\nExamples:\n"
                    for first in range(0, shown, AT_ONCE):
                        lines = "\n".join(
                            f"{place}: {json.dumps(one)}" for place, one in enumerate(windows[first : first + AT_ONCE])
                        )
                        messages = [{"role": "system", "content": system}, {"role": "user", "content": user + lines}]
                        call = _call(messages, json.dumps({str(place): place % 2 == 0 for place in range(AT_ONCE)}))
                        recorder.record(call)
                        keys[control, latent, first : first + AT_ONCE] = call.key
        verdicts = pa.concat_tables(_verdicts(starts, keys, generator))
        scores, measures = _figures(n, generator)
        overall = {metric: {"all": {"value": 0.8, "low": 0.78, "high": 0.82, "n_latents": n}} for metric in MEASURES}
        meta = {
            "coder": name, "explainer": "default", "scorer": scorer, **BALANCED_ACCURACY.facts(),
            "overall": {"own": overall, "shuffled": overall},
            "unscored": {kind: {"latents": 0, "latents_by_reason": {}, "examples": 0} for kind in ("own", "shuffled")},
        }  # fmt: skip
        with table.writing(out, recorder) as (writer, into):
            writer.add(verdicts, scores, measures)
            into |= meta


def _verdicts(starts: np.ndarray, keys: np.ndarray, generator: np.random.Generator) -> Iterator[pa.Table]:
    from stages.scorers.table import verdicts_schema

    n, shown = starts.shape
    order = np.argsort(starts, axis=1)
    active = np.take_along_axis(np.tile(np.arange(shown) < TEST, (n, 1)), order, axis=1).ravel()
    deciles = np.where(
        active, np.take_along_axis(np.tile(np.arange(shown) * 10 // TEST + 1, (n, 1)), order, axis=1).ravel(), 0
    )
    for control, explanation in enumerate(("own", "shuffled")):
        columns = {
            "explanation": pa.repeat(explanation, n * shown),
            "latent": np.repeat(np.arange(n, dtype=np.int32), shown),
            "window": np.take_along_axis(starts, order, axis=1).ravel(),
            "role": pa.array(["negative", "test"]).take(pa.array(active.astype(np.int8))),
            "kind": pa.array(["random", None]).take(pa.array(active.astype(np.int8))),
            "decile": deciles.astype(np.int8),
            "active": active,
            "predicted": active ^ (generator.random(n * shown) < 0.2),
            "value": generator.random(n * shown),
            "request": pa.array(np.take_along_axis(keys[control], order, axis=1).ravel(), pa.string()),
        }
        nothing = pa.nulls(n * shown)
        yield pa.table(
            [columns.get(field.name, nothing) for field in verdicts_schema()], names=verdicts_schema().names
        ).cast(verdicts_schema())


def _figures(n: int, generator: np.random.Generator) -> tuple[pa.Table, pa.Table]:
    from stages.scorers.table import measures_schema, scores_schema

    value = generator.beta(8, 3, 2 * n)
    explanation, latents = pa.array(["own"] * n + ["shuffled"] * n), np.tile(np.arange(n, dtype=np.int32), 2)
    counts = np.full(2 * n, TEST + NEGATIVE, np.int32)
    scores = [explanation, latents, value, value - 0.05, value + 0.05, counts, counts * 0, pa.nulls(2 * n)]
    of = pa.array(["all"] * len(MEASURES))
    m = len(MEASURES)
    measures = [
        explanation.take(pa.array(np.repeat(np.arange(2 * n), m))), np.repeat(latents, m), pa.array(list(MEASURES) * (2 * n)),
        of.take(pa.array(np.zeros(2 * n * m, np.int8))), np.repeat(value, m), np.repeat(value - 0.05, m), np.repeat(value + 0.05, m),
        np.repeat(counts, m), pa.nulls(2 * n * m),
    ]  # fmt: skip
    return tuple(
        pa.table(columns, names=schema.names).cast(schema)
        for columns, schema in ((scores, scores_schema()), (measures, measures_schema()))
    )  # type: ignore[return-value]


def similarity(case: Made) -> None:
    """Every two coders matched one to one."""
    from stages import paths
    from stages.similarity import table

    generator = np.random.default_rng(SEED)
    parts, n = [table.matches_schema().empty_table()], case.latents
    for place, a in enumerate(case.names):
        for b in case.names[place + 1 :]:
            texts = pa.array([f'Fires on "{latent}" in prose about numbers and names.' for latent in range(n)])
            columns = {
                "coder_a": pa.repeat(a, n), "coder_b": pa.repeat(b, n), "explainer": pa.repeat("default", n),
                "latent_a": np.arange(n, dtype=np.int32), "latent_b": generator.permutation(n).astype(np.int32),
                "decoder_cosine": generator.random(n).astype(np.float32), "explanation_a": texts, "explanation_b": texts,
                "explanation_cosine": generator.random(n).astype(np.float32),
            }  # fmt: skip
            schema = table.matches_schema()
            parts.append(
                pa.table([columns.get(name, pa.nulls(n)) for name in schema.names], names=schema.names).cast(schema)
            )
    lists = {"default": {"pairs": [], "unique": {}, "chains": []}}
    found = table.Content(
        pa.concat_tables(parts), table.splits_schema().empty_table(), lists, {}, {"pairs": [], "ceilings": {}}
    )
    table.write(paths.SIMILARITY, found)

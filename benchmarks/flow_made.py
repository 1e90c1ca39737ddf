"""What `flow.py` has done in processes of their own, by the Glossa that PYTHONPATH names: a made-up coder, and stages that run on it."""

from __future__ import annotations

import gc
import json
import resource
import sys
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

CONTEXT, SEED, AT_ONCE = 256, 0, 5
CODER, EXPLAINER = "made", "default"
SCORERS = ("detection", "fuzzing", "intruder", "simulation")
EXPLAINERS = ("prompt", "pattern")
"""Those that are measured: ``prompt`` is of the kind default, whose explanations under that name are made up."""
BATCH = 256
"""Latents that are made up at once."""


class Size(NamedTuple):
    """How large what is made up is, beside the number of latents."""

    tokens: int = 4_000_000
    vocabulary: int = 50_304
    window: int = 32
    train: int = 40
    test: int = 100
    negative: int = 100


FULL = Size()


def params(size: Size) -> str:
    """params.yaml that both the old and the new Glossa read."""
    model = {"provider": "openai", "endpoint": "lab", "model": "made-up"}
    of_batches = {"examples_per_prompt": AT_ONCE}
    return json.dumps(
        {
            "seed": SEED,
            "corpus": {"source": "text", "path": "texts", "context_length": CONTEXT, "tokens": size.tokens},
            "subject": {"model": "made-up/subject"},
            "coders": {CODER: {"path": "coders/made", "hookpoint": "layers.0"}},
            "sampling": {
                "latents": "all",
                "window": size.window,
                "train": {"n": size.train},
                "test": {"per_decile": max(1, size.test // 10)},
            },
            "explainers": {
                EXPLAINER: {"kind": "default", "model": model},
                "prompt": {"kind": "default", "model": model},
                "pattern": {"kind": "pattern"},
            },
            "scorers": {
                name: {"kind": name, "model": model, **(of_batches if name in SCORERS[:2] else {})} for name in SCORERS
            },
        },
        indent=1,
    )


def project(latents: int, size: Size = FULL) -> None:
    """Writes, here, params.yaml and what the stages before explain and score leave of one coder, by the stages' own writers."""
    from stages.corpus.tokens import Tokens

    Path("params.yaml").write_text(params(size), encoding="utf-8")
    Path("texts").mkdir(exist_ok=True)
    _corpus(size)
    tokens = Tokens.open()
    first = _examples(latents, size, tokens)
    _explain([f'Fires on "{text[:30].strip()}" in prose about numbers and names.' for text in first])


def _corpus(size: Size) -> None:
    """Tokens on Zipf's law; some are pieces of a character."""
    from stages import paths
    from stages.corpus import tokens

    generator = np.random.default_rng(SEED)
    letters = np.array(list("etaoinshrdlucmfwypvbgkqjxz"))
    words = [("" if n % 3 else " ") + "".join(generator.choice(letters, 1 + n % 9)) for n in range(size.vocabulary)]
    spellings = [word.encode() if n % 400 else bytes([0xC3 if n % 800 else 0xA9]) for n, word in enumerate(words)]
    special = np.zeros(size.vocabulary, bool)
    spellings[0], special[0] = b"<|endoftext|>", True
    ids = np.minimum(generator.zipf(1.2, size.tokens), size.vocabulary - 1).astype(np.int32).reshape(-1, CONTEXT)
    ids[:, 0] = 0
    counts = np.bincount(ids.ravel(), minlength=size.vocabulary)
    starts = np.arange(0, size.tokens, 1024)
    documents = pa.table(
        {"name": [f"document {n}" for n in range(len(starts))], "start": starts, "n_tokens": np.full(len(starts), 1024)}
    )
    meta = {
        "documents": len(starts),
        "special_positions": len(ids),
        "tokenizer": {"model": "made-up", "revision": None},
    }
    tokens.write(paths.TOKENS, ids, documents, tokens.Vocabulary(spellings, counts, special), meta)


def _examples(latents: int, size: Size, tokens: Any) -> list[str]:
    """Writes windows of every latent: train, test, silent; returns the text of the strongest of each."""
    from stages import paths
    from stages.examples import table
    from stages.outputs import new_directory, write_meta, write_table

    window, firing = size.window, size.train + size.test
    n, blocks = firing + size.negative, size.tokens // size.window
    generator = np.random.default_rng([SEED, 1])
    flat, texts = tokens.matrix.reshape(-1), []
    deciles = np.concatenate(
        [np.arange(part) * 10 // part + 1 for part in (size.train, size.test)] + [np.zeros(size.negative, int)]
    ).astype(np.int8)
    fires = np.arange(n) < firing
    roles = pa.array(["train"] * size.train + ["test"] * (n - size.train))
    kinds = pa.array([None] * firing + ["random"] * size.negative, pa.string())
    with new_directory(paths.examples(CODER)) as partial:
        with table.WindowsWriter(partial / "windows.parquet") as writer:
            for begin in range(0, latents, BATCH):
                m = min(BATCH, latents - begin)
                starts = (generator.integers(0, blocks // n, (m, n)) + np.arange(n) * (blocks // n)) * window
                starts = generator.permuted(starts, axis=1)
                values = np.zeros((m, firing, window), np.float32)
                places = generator.integers(1, window, (m, firing, 3))
                strengths = generator.gamma(2.0, 1.0, places.shape) * (11 - deciles[fires])[:, None]
                np.put_along_axis(values, places, strengths.astype(np.float32), axis=2)
                silent = np.tile(~fires, m)
                offsets = np.append(0, np.cumsum(np.where(silent, 0, window))).astype(np.int32)
                activations = pa.ListArray.from_arrays(offsets, values.ravel(), mask=pa.array(silent))
                maxima = np.zeros((m, n), np.float32)
                maxima[:, :firing] = values.max(axis=2)
                which = pa.array(np.tile(np.arange(n), m))
                columns = [
                    np.repeat(np.arange(begin, begin + m, dtype=np.int32), n),
                    roles.take(which),
                    kinds.take(which),
                    np.tile(deciles, m),
                    starts.ravel(),
                    maxima.ravel(),
                    activations,
                ]
                writer.add(pa.table(columns, schema=table.windows_schema()))
                texts += [tokens.vocabulary.text(flat[start : start + window]) for start in starts[:, 0].tolist()]
        write_table(partial / "latents.parquet", _latents(latents, size, table.latents_schema()))
        meta = {
            "hookpoint": "layers.0", "subject": {"model": "made-up/subject", "weights": "trained", "sha256": "0" * 64},
            "coder": {"format": "sparsify", "path": "coders/made", "k": 32}, "n_latents": latents, "dead": 0,
            "n_events": 4000 * latents, "window": window, "windows": blocks, "chosen": latents, "negatives": ["random"],
            "kept": latents, "dropped": {}, "tokens_sha256": tokens.sha256,
        }  # fmt: skip
        write_meta(partial, table.SCHEMA, table.VERSION, meta)
    return texts


def _latents(latents: int, size: Size, schema: pa.Schema) -> pa.Table:
    facts = {
        "count": 4000, "density": 1e-3, "max": 30.0, "mean": 3.0, "histogram": list(range(20)), "n_windows": 1250,
        "n_train": size.train, "n_validation": 0, "n_test": size.test, "n_random": size.negative, "n_negatives": {"random": size.negative},
        "top_tokens": list(range(1, 11)), "top_values": [0.5] * 10,
        "bottom_tokens": list(range(11, 21)), "bottom_values": [-0.5] * 10,
    }  # fmt: skip
    rows = [dict.fromkeys(schema.names) | facts | {"latent": latent} for latent in range(latents)]
    return pa.Table.from_pylist([{name: row[name] for name in schema.names} for row in rows], schema)


def _explain(texts: list[str]) -> None:
    from stages import paths
    from stages.explainers import table

    found = [table.Explanation(latent, text, None, {}) for latent, text in enumerate(texts)]
    table.write(paths.explanations(CODER, EXPLAINER), found, {"coder": CODER, "explainer": EXPLAINER})


class Judge:
    """Answers at once, and always the same to the same question: right by the schema, whatever is asked."""

    def __init__(self, model: Any = None) -> None:
        """``model`` is whom it stands in for."""

    def answer(self, requests: Iterable[Any]) -> Iterator[Any]:
        """Yields the answers."""
        from stages.llm.request import Answer

        for request in requests:
            yield Answer(said(request.schema, request.messages[-1].content))


def said(schema: dict[str, Any] | None, text: str) -> str:
    """An answer that looks random and is told by the end of the question."""
    if schema is None:
        return "words that are made up"
    parts = schema["properties"]
    return _said(tuple(parts), next(iter(parts.values())).get("type", ""), zlib.crc32(text[-48:].encode()))


@lru_cache(maxsize=4096)
def _of_few(keys: tuple[str, ...], bits: int) -> str:
    return json.dumps({key: bool(bits >> place & 1) for place, key in enumerate(keys)})


def _said(keys: tuple[str, ...], kind: str, number: int) -> str:
    if kind == "boolean":
        return _of_few(keys, number % 2 ** len(keys))
    if kind == "string":
        return json.dumps(dict.fromkeys(keys, "abcde"[number % 5]))
    return _of_many(keys, number % 256)


@lru_cache(maxsize=2**14)
def _of_many(keys: tuple[str, ...], seed: int) -> str:
    draws = np.random.default_rng(seed).integers(0, 11, len(keys)).tolist()
    return json.dumps(dict(zip(keys, draws, strict=True)))


def stage(name: str, asks: bool) -> None:
    """Runs the stage of a scorer or explainer; unless it ``asks`` a server, a judge in this process answers."""
    from contextlib import nullcontext

    from stages import llm
    from stages.cli import COLLECT

    gc.set_threshold(*COLLECT)  # as the command line does, whose other checks want the stages before
    with nullcontext() if asks else llm.standing_in(Judge):
        if name in EXPLAINERS:
            from stages.explain import command as explain

            explain([CODER, name], standalone_mode=False)
        else:
            from stages.score import command as score

            score([CODER, "latent" if name == "intruder" else EXPLAINER, name], standalone_mode=False)


def main() -> None:
    """Does what the arguments say: ``project 512``, ``stage detection``, ``ask detection``, ``profile detection``; prints its peak memory in MB."""
    match sys.argv[1:]:
        case ["project", latents]:
            project(int(latents))
        case ["stage", name]:
            stage(name, asks=False)
        case ["ask", name]:
            stage(name, asks=True)
        case ["profile", name]:
            import cProfile
            import pstats

            with cProfile.Profile() as profile:
                stage(name, asks=False)
            pstats.Stats(profile).sort_stats("tottime").print_stats(35)
    print(f"{peak_mb():.1f}")


def peak_mb() -> float:
    """The largest resident memory that this process has had, in MB (10**6 bytes)."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would also count what the parent had when this process was started
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS


if __name__ == "__main__":
    main()

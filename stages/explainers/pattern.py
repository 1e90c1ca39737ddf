"""``pattern``: explains a latent without a language model, by the words and surroundings over-represented where it fires.

A baseline that a language model has to beat. It writes one plain sentence, such as: Fires on "is" or "are" after "this" in
parameter descriptions, and makes "also" or "not" more likely next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stages.corpus.lexis import spelt
from stages.corpus.tokens import Tokens, Vocabulary
from stages.corpus.units import largest, units
from stages.examples.table import LatentExamples, Windows
from stages.explainers import Explainer, lexicon
from stages.explainers.rules import Evidence, Rule, best_rule
from stages.explainers.table import Explanation

STRONG = 0.3
"""A token counts as firing from this share of its window's maximum on, the share at which fuzzing marks it."""

PEAKED = 1.35
"""What a latent promotes is said if the third token is promoted this many times as much as the tenth."""


class Options(Explainer):
    """The entry ``{kind: pattern}``."""

    kind: Literal["pattern"]

    def explain(self, latents: Iterable[LatentExamples], tokens: Tokens) -> Iterator[Explanation]:
        """Yields one explanation for every latent, from its train windows and the corpus."""
        table: lexicon.Lexicon | None = None
        for latent in latents:
            window = latent.train.tokens.shape[1]
            if table is None or table.window != window:
                table = lexicon.build(tokens, window)
            yield explain(latent, table, tokens)


def explain(latent: LatentExamples, table: lexicon.Lexicon, tokens: Tokens) -> Explanation:
    """Returns the explanation of one latent, or the reason why there is none."""
    train, facts = latent.train, latent.facts
    activations = _at_first(train, tokens.vocabulary)
    strong = activations >= STRONG * activations.max(axis=1, keepdims=True)
    strong &= activations > 0
    rows, columns = np.nonzero(strong)
    fires = np.sort(train.starts[rows] + columns)
    share_strong = strong.sum() / max(1, (train.activations > 0).sum())
    evidence = Evidence(fires, np.unique(fires // table.window), facts["count"] * share_strong, facts["n_windows"])
    rule = best_rule(table, evidence)
    promoted = _promoted(latent, tokens)
    if rule is None:
        return Explanation(latent.latent, None, "no token stands out where it fires", {})
    details = {
        "kind": rule.kind,
        "targets": list(rule.targets),
        "before": list(rule.before),
        "place": rule.place,
        "coverage": round(rule.fit.coverage, 4),
        "precision": round(rule.fit.precision, 4),
        "window_coverage": round(rule.fit.window_coverage, 4),
        "window_share": round(rule.fit.window_share, 4),
        "promoted": promoted,
    }
    return Explanation(latent.latent, sentence(rule, promoted), None, details)


def sentence(rule: Rule, promoted: list[str]) -> str:
    """Writes a rule and what the latent promotes as one sentence."""
    if rule.kind == "shape":
        text = f"Fires on {rule.targets[0]}"
    elif rule.kind == "word" and any(target[:1].isalnum() for target in rule.targets):
        text = f"Fires within the word {_either(rule.targets)}"
    else:
        text = f"Fires on {_either(rule.targets)}"
    if rule.before:
        text += f" after {_either(rule.before)}"
    if rule.place:
        text += f" in {rule.place}"
    if promoted:
        text += f", and makes {_either(promoted)} more likely next"
    return text + "."


def _either(values: Iterable[str]) -> str:
    quoted = [f'"{spelt(value.strip() or value)}"' for value in values]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _promoted(latent: LatentExamples, tokens: Tokens) -> list[str]:
    """The three output tokens that the latent promotes most, if they stand out from the ones that follow; no parts of characters."""
    ids, values = latent.facts["top_tokens"], latent.facts["top_values"]
    if not ids or len(ids) < 10 or values[2] < PEAKED * values[9]:
        return []
    return [text for token in ids[:3] if "\ufffd" not in (text := tokens.vocabulary.strings[token])]


def _at_first(windows: Windows, vocabulary: Vocabulary) -> NDArray[np.float32]:
    """[windows, window] how the latent fires on what stands at each token: on a character of several tokens, at the first of them."""
    found = np.array(windows.activations)
    for row in np.flatnonzero(~vocabulary.whole[windows.tokens].all(axis=1)).tolist():
        shown = units(windows.tokens[row].tolist(), vocabulary)
        found[row] = 0
        found[row, [unit.begin for unit in shown]] = largest(shown, windows.activations[row])
    return found

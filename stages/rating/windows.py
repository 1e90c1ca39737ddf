"""A latent's train windows as a reader sees them, a line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stages.corpus.tokens import Vocabulary
from stages.examples.marks import marked, units
from stages.examples.table import LatentExamples
from stages.explainers import seen
from stages.explainers.shown import strength
from stages.text.display import visible


def lines(
    latent: LatentExamples, most: int, vocabulary: Vocabulary, shade: Callable[[str, float], str] | None = None
) -> Iterator[str]:
    """Yields up to ``most`` windows from the strongest down, each behind its strength in tenths of the latent's maximum.

    Marked are the tokens that a language model would see marked, by « and » or by ``shade``, which is told how strong each is as a
    share of the maximum.
    """
    peak = latent.facts["max"]
    for place in seen.places(latent, most):
        activations = latent.train.activations[place]
        least = float(seen.THRESHOLD * activations.max())
        shown = units(latent.train.tokens[place], activations, vocabulary)
        marks = [unit.activation > least for unit in shown]
        if shade is None:
            text = visible(marked(shown, marks))
        else:
            parts = zip(shown, map(visible, (unit.text for unit in shown)), marks, strict=True)
            text = "".join(
                shade(part, unit.activation / peak) if is_marked else part for unit, part, is_marked in parts
            )
        yield f"{strength(float(activations.max()), peak):>4}  {text}"

"""What the subject writes behind windows of a latent: as it is, with the latent raised, and with the latent silenced.

The three have the same draws, so they differ by the edit alone: where it changes no prediction, not a token differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from stages.coders.edits import Editor
from stages.coders.firing import firing
from stages.examples import prompts
from stages.examples.origin import Origin
from stages.examples.prompts import Prompt
from stages.examples.table import LatentExamples
from stages.scorers.strength import Tuned, tune
from stages.subject.steering import Edit, Steering

NO_PROMPT = "in no test window does it keep silent before it fires"
NO_STRENGTH = "no strength makes the predictions diverge about as much as wanted"


class Continued(NamedTuple):
    """The prompts of one latent, and what was written behind each."""

    prompts: list[Prompt]
    tuned: Tuned
    written: dict[str, list[list[int]]]
    """``clean``, ``intervened`` and ``ablated``: tokens, by prompt."""


@dataclass(frozen=True)
class Continuations:
    """How latents of one coder are raised and silenced."""

    origin: Origin
    editor: Editor
    steering: Steering
    ends: Sequence[int]
    """Tokens that end a text."""
    seed: int
    per_quintile: int
    divergence: float
    """To which every latent's edit is brought: mean over its prompts of KL(intervened ‖ clean) at the next token, in nats."""
    new_tokens: int

    @property
    def at_once(self) -> int:
        """Latents whose predictions fit into memory together."""
        return max(1, self.steering.most_prompts // (self.per_quintile * prompts.QUINTILES))

    def of(self, latents: Sequence[LatentExamples]) -> list[Continued | str]:
        """Returns what is written for each latent, or why nothing is."""
        own = self._prompts(latents)
        rows = _Rows([place for place, found in enumerate(own) for _ in found], [p for found in own for p in found])
        read = [self.origin.row(prompt) for prompt in rows.prompts]
        numbers = torch.tensor([latents[place].latent for place in rows.owners], dtype=torch.long)
        clean = self.steering.predict(read)

        def divergence(places: NDArray[np.int64], strengths: NDArray[np.float64]) -> NDArray[np.float64]:
            chosen = rows.of(with_prompts[places])
            strength = np.zeros(len(latents))
            strength[with_prompts[places]] = strengths
            edit = self.editor.add(numbers[chosen], torch.from_numpy(strength[np.array(rows.owners)[chosen]]))
            each = self.steering.divergences([read[row] for row in chosen], clean[chosen], edit)
            sums = np.bincount(np.array(rows.owners)[chosen], each, len(latents))
            means: NDArray[np.float64] = sums[with_prompts[places]] / np.array(
                [len(own[place]) for place in with_prompts[places]]
            )
            return means

        with_prompts = np.array([place for place, found in enumerate(own) if found], np.int64)
        tuned = dict(zip(with_prompts.tolist(), tune(divergence, len(with_prompts), self.divergence), strict=True))
        fit = [place for place, found in tuned.items() if self._is_near(found.divergence)]
        chosen = rows.of(np.array(fit, np.int64))
        strengths = torch.tensor([tuned[rows.owners[row]].strength for row in chosen])
        edits: dict[str, Edit | None] = {
            "clean": None,
            "intervened": self.editor.add(numbers[chosen], strengths),
            "ablated": self.editor.ablate(numbers[chosen]),
        }
        draws = np.array([self._draws(int(numbers[row]), rows.prompts[row]) for row in chosen])
        behind = [read[row] for row in chosen]
        texts = {name: self.steering.write(behind, draws, self.ends, edit) for name, edit in edits.items() if chosen}
        found: list[Continued | str] = []
        for place, mine in enumerate(own):
            if place not in fit:
                found.append(NO_STRENGTH if mine else NO_PROMPT)
                continue
            at = [i for i, row in enumerate(chosen) if rows.owners[row] == place]
            found.append(Continued(mine, tuned[place], {name: [text[i] for i in at] for name, text in texts.items()}))
        return found

    def _prompts(self, latents: Sequence[LatentExamples]) -> list[list[Prompt]]:
        """Each latent's prompts; what it fires on earlier when a prompt is read on its own, is cut once more."""
        own: list[list[Prompt]] = []
        most = self.origin.room(self.new_tokens)
        for latent in latents:
            generator = np.random.default_rng([self.seed, latent.latent, 0x9A7])
            own.append(prompts.spread(prompts.cut(latent.test, most), self.per_quintile, generator))
        texts = [self.origin.row(prompt) for found in own for prompt in found]
        numbers = [latent.latent for latent, found in zip(latents, own, strict=True) for _ in found]
        fires = firing(self.origin.subject, self.origin.coder, texts, numbers)
        for one in fires:
            one[: self.origin.skipped] = 0  # no text; a prompt begins a row of its own
        each = iter(fires)
        return [[again for prompt in found if (again := _again(prompt, next(each)))] for found in own]

    def _draws(self, latent: int, prompt: Prompt) -> NDArray[np.float64]:
        return np.random.default_rng([self.seed, latent, prompt.start, 0x1E7]).random(self.new_tokens)

    def _is_near(self, divergence: float) -> bool:
        return self.divergence / 2 <= divergence <= 2 * self.divergence


class _Rows(NamedTuple):
    """The prompts of several latents, one after the other."""

    owners: list[int]
    prompts: list[Prompt]

    def of(self, places: NDArray[np.int64]) -> list[int]:
        """The rows of the latents at ``places``."""
        wanted = set(places.tolist())
        return [row for row, owner in enumerate(self.owners) if owner in wanted]


def _again(prompt: Prompt, activations: NDArray[np.float32]) -> Prompt | None:
    """The prompt up to where the latent fires first, as ``activations`` at the last of its tokens say; None if at once."""
    fires = np.flatnonzero(activations[-len(prompt.tokens) :])
    n = min(int(fires[0]) + 1, len(prompt.tokens)) if len(fires) else len(prompt.tokens)
    return prompt._replace(tokens=prompt.tokens[:n]) if n > 1 else None

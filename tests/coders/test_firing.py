import numpy as np
import pytest
import torch

from stages.coders import random
from stages.coders.firing import firing
from stages.subject.hookpoints import activations
from stages.subject.load import Subject
from tests.conftest import WIDTH

TEXTS = [[0, 5, 9, 11], [7], [], [3, 3, 8, 60, 2, 41, 17, 6]]


@pytest.mark.parametrize("batch_tokens", [None, 5])
def test_a_latent_fires_as_when_a_text_goes_through_alone(subject: Subject, batch_tokens: int | None) -> None:
    coder = random.load(WIDTH, "layers.1", 32, 8, (0, 0))
    latents = []
    for ids in TEXTS:  # one that fires on the last token
        hidden = activations(subject, ["layers.1"], torch.tensor([ids or [0]]))["layers.1"][0]
        events = coder.encode(hidden)
        latents.append(int(events.latents[-1]))
    found = firing(subject, coder, TEXTS, latents, batch_tokens)
    for ids, latent, values in zip(TEXTS, latents, found, strict=True):
        assert len(values) == len(ids)
        if ids:
            events = coder.encode(activations(subject, ["layers.1"], torch.tensor([ids]))["layers.1"][0])
            expected = np.zeros(len(ids))
            own = events.latents == latent
            expected[events.rows[own].numpy()] = events.values[own].numpy()
            assert expected[-1] > 0
            assert values == pytest.approx(expected, abs=1e-5)

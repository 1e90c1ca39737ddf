"""Small tokenizers of chat models, as folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.conftest import SENTENCES

START, STOP, TEXT_END = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\\n' + message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer(folder: Path, template: str | None = CHATML, bos_in_front: bool = False, **named: str) -> Path:
    """Writes a byte-level BPE with the control tokens of ChatML; ``<think>`` is an added token that texts may hold.

    ``named`` says which is ``bos_token`` and the like; ``bos_in_front``: the tokenizer begins texts with ``<|endoftext|>``.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=[TEXT_END, START, STOP],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(SENTENCES, trainer)
    bpe.add_tokens([AddedToken("<think>", special=False, normalized=False)])
    if bos_in_front:
        bpe.post_processor = processors.TemplateProcessing(f"{TEXT_END} $A", None, [(TEXT_END, 0)])
    made: Any = PreTrainedTokenizerFast(tokenizer_object=bpe, **({"eos_token": STOP} | named))
    if template:
        made.chat_template = template
    made.save_pretrained(folder)
    return folder


def turns(*said: str) -> tuple[dict[str, str], ...]:
    """A conversation in which user and assistant take turns."""
    return tuple({"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said))

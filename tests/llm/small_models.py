"""Small chat models with random weights and any tokenizer, as folders in Hugging Face's layout."""

from __future__ import annotations

import json
from pathlib import Path

END, TURN = "<|end|>", "<|turn|>"
TEMPLATE = (
    "{% for message in messages %}<|turn|>{{ message.role }}\n{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% if shout %}NOW: {% endif %}{% endif %}"
)
TEXTS = [
    'Explanation: "Fires on numbers."\n\nExamples:\na: "The fox."\nb: "In 1984."',
    json.dumps(dict.fromkeys("abcde", True)),
    json.dumps(dict.fromkeys("abcde", False)),
    "The quick brown fox jumps over the lazy dog, is it not true? It is false.",
]


def make(folder: Path, template: str | None = TEMPLATE, texts: list[str] = TEXTS, seed: int = 0) -> Path:
    """Writes a Llama of 2 layers and width 32 with a byte-level BPE that knows the words of ``texts``."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=[END, TURN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END, chat_template=template)
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=bpe.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=1024,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder

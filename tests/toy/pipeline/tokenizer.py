"""Trains the byte-level BPE of the toy subject and tokenizes both splits of its corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from stages.corpus.installed_docs import read
from stages.corpus.pack import pack, shuffled

END = "<|endoftext|>"
CONSTRAINTS = Path("../../../constraints.txt")


def main() -> None:
    """Writes subject/tokenizer*.json and scratch/{train,held-out}.npy."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    packages = params["corpus"]["packages"]
    texts = {
        split: [document.text for document in read(packages, split, CONSTRAINTS)] for split in ("train", "held-out")
    }

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=params["tokenizer"]["vocabulary"],
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts["train"], trainer)
    length = params["subject"]["context_length"]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=END, eos_token=END, model_max_length=length, clean_up_tokenization_spaces=False
    )
    tokenizer.save_pretrained("../subject")

    end = tokenizer.convert_tokens_to_ids(END)
    Path("scratch").mkdir(exist_ok=True)
    for split, documents in texts.items():
        encoded = (encoding.ids for encoding in bpe.encode_batch(list(shuffled(documents, params["seed"]))))
        tokens = pack(encoded, length, bos=end, eos=end).tokens
        np.save(f"scratch/{split}.npy", tokens.astype(np.uint16))
        print(f"{split}: {len(documents):,} docstrings, {tokens.size:,} tokens")


if __name__ == "__main__":
    main()

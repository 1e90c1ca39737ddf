"""A subject, a sparse coder, an embedder and a corpus made by hand, as folders that the real stages read.

The subject is a GPT-2 of two blocks over whole words. Block 0 looks one word back: behind it a token's residual stream holds, in parts
of their own, its word, its position and the word before. Block 1 looks at all words that say something and makes them likelier to come
next, which is how the same model, as a judge, takes a description into account. A part that nothing else writes to is what the
unembedding reads: a latent that writes there raises one word.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

END, UNKNOWN = "<end>", "<unknown>"
SKY = ["moon", "sun", "star"]
ANIMALS = ["cat", "dog", "fox", "cow"]
PLANTS = ["oak", "fern", "moss"]
THINGS = ["lamp", "chair", "stone", "rope", "boat", "coat", "nail", "cup", "road", "hill", "wall", "bell"]
VERBS = ["saw", "took", "left", "kept", "found", "lost"]
PLAIN = ["the", "a", "near", "word", "words", "or", "after"]
"""They say nothing: block 1 does not look at them, and the embedder has no meaning for them."""
NAMES = ["ada", "bea", "cy", "dov", "eli", "fay", "gus", "hal", "ida", "jo"]
MORE_NAMES = ["kit", "lou", "mae", "ned", "ola", "pam", "ray", "sue", "tom", "una"]
PEOPLE = [*NAMES, *MORE_NAMES]
WORDS = [*SKY, *ANIMALS, *PLANTS, *THINGS, *VERBS, *PEOPLE, "river", "money", "bank", "spoon", "gold"]
VOCABULARY = [END, UNKNOWN, *PLAIN, *WORDS]

LENGTH = 64
"""Tokens that the subject reads."""
N = len(VOCABULARY)
WORD, BEFORE, NEXT, POSITION = 0, N, 2 * N, 3 * N
"""Where the parts of the residual stream begin."""
WIDTH = 3 * N + LENGTH
SINK = 20
"""As many words the first position counts for in block 1, so that the likelihood of a word grows with its number, not its share."""

MOON, RIVER_BANK, ANIMAL, SPOON, PERSON = range(5)
"""Latents: a word; a word behind another; a class of words, some stronger than others; a word, which writes another one; and,
with nothing in common, twenty words."""
WRITES = {MOON: "moon", SPOON: "gold"}
"""What latents raise; the others write nothing."""

NOUNS = {
    **dict.fromkeys(THINGS, 4.0),
    **dict.fromkeys(PLANTS, 3.0),
    **dict.fromkeys(ANIMALS, 1.5),
    **dict.fromkeys(PEOPLE, 0.25),
    "moon": 2.5,
    "sun": 1.5,
    "star": 1.5,
    "spoon": 2.5,
    "gold": 1.0,
    "river bank": 2.5,
    "money bank": 0.75,
    "river road": 1.0,
    "money": 1.0,
}
"""What sentences are about, and how often."""


def at(word: str) -> int:
    """The number of a word."""
    return VOCABULARY.index(word)


def tokenizer() -> Tokenizer:
    """Whole words in lower case; all else is white space."""
    spelt = {word if word in (END, UNKNOWN) else f"\u2581{word}": place for place, word in enumerate(VOCABULARY)}
    found = Tokenizer(models.WordLevel(spelt, unk_token=UNKNOWN))
    found.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(Regex("[^a-z]+"), " ")])
    found.pre_tokenizer = pre_tokenizers.Metaspace()
    return found


def write_subject(folder: Path) -> None:
    """The model and its tokenizer."""
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer(), bos_token=END, eos_token=END, unk_token=UNKNOWN
    ).save_pretrained(folder)
    config = GPT2Config(
        vocab_size=N,
        n_positions=LENGTH,
        n_embd=WIDTH,
        n_layer=2,
        n_head=1,
        n_inner=1,
        layer_norm_epsilon=1e-9,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = GPT2LMHeadModel(config).requires_grad_(requires_grad=False)
    for name, weight in model.named_parameters():
        if ".h." in name:
            weight.zero_()
    model.transformer.wte.weight.copy_(torch.eye(N, WIDTH))
    model.transformer.wpe.weight.copy_(torch.eye(WIDTH)[POSITION:])
    words, positions = torch.arange(N), torch.arange(LENGTH)
    says = torch.tensor([word in WORDS for word in VOCABULARY], dtype=torch.float)
    norms = []
    for layer, block in enumerate(model.transformer.h):
        norms.append((block.ln_1, 2 + layer))
        query, key, value = block.attn.c_attn.weight.view(WIDTH, 3, WIDTH).unbind(1)
        block.attn.c_proj.weight.copy_(torch.eye(WIDTH))
        if layer == 0:
            query[POSITION + positions, positions] = 1000
            key[POSITION + positions[:-1], positions[1:]] = 1
            value[WORD + words, BEFORE + words] = 1
        else:
            query[POSITION + positions, 0] = 1000
            key[WORD + words, 0] = says - 1
            key[POSITION, 0] = 1 + np.log(SINK) * WIDTH**0.5 / 1000  # whatever stands at the first position
            value[WORD + words, NEXT + words] = 1.6 * says  # about 0.7 nats for every time that a word was read
    norms.append((model.transformer.ln_f, 3))
    for norm, ones in norms:  # what has so many ones goes through unchanged
        mean = ones / WIDTH
        norm.weight.fill_((mean - mean**2) ** 0.5)
        norm.bias.fill_(mean)
    model.lm_head.weight.zero_()
    model.lm_head.weight[words, NEXT + words] = 12
    model.lm_head.weight[:2, POSITION:] = -10  # never written
    model.save_pretrained(folder)


def write_coder(folder: Path) -> None:
    """Latents that fire exactly where it is said, and behind those that are explained others that fire beside them."""
    fires = [
        ({"moon": 2.0}, {}),
        ({"bank": 1.0}, {"river": 1.0}),
        (dict(zip(ANIMALS, (4.0, 3.0, 2.0, 1.0), strict=True)), {}),
        ({"spoon": 2.0}, {}),
        (dict.fromkeys(PEOPLE, 1.0), {}),
        (dict.fromkeys(SKY, 1.0), {}),
        ({"bank": 1.0}, {}),
        (dict.fromkeys([*PLANTS, *ANIMALS], 1.0), {}),
    ]
    encoder, decoder, bias = torch.zeros(len(fires), WIDTH), torch.zeros(WIDTH, len(fires)), torch.zeros(len(fires))
    for latent, (words, before) in enumerate(fires):
        for part, strengths in ((WORD, words), (BEFORE, before)):
            for word, strength in strengths.items():
                encoder[latent, part + at(word)] = strength
        bias[latent] = -1.5 if before else -0.5
        if latent in WRITES:
            decoder[NEXT + at(WRITES[latent]), latent] = 1
    folder.mkdir(parents=True)
    tensors = {
        "encoder.weight": encoder,
        "encoder.bias": bias,
        "decoder.weight": decoder,
        "decoder.bias": torch.zeros(WIDTH),
    }
    torch.save(tensors, folder / "coder.pt")


def write_embedder(folder: Path) -> None:
    """The mean of word vectors: every word that says something has a direction, which a class of words partly shares."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    vectors = np.zeros((N, N), np.float32)
    for word in WORDS:
        vectors[at(word), at(word)] = 1
    for place, group in enumerate((SKY, ANIMALS, PLANTS, PEOPLE)):
        vectors[[at(word) for word in group], place] = 0.5  # the directions of words that say nothing are free
    SentenceTransformer(modules=[StaticEmbedding(tokenizer(), embedding_weights=vectors)], device="cpu").save(
        str(folder)
    )


def write_texts(folder: Path, documents: int, sentences: int) -> None:
    """Such as "the lamp took a river bank near the fern"."""
    generator = np.random.default_rng(0)
    nouns, shares = list(NOUNS), np.array(list(NOUNS.values()))
    folder.mkdir()
    for number in range(documents):
        drawn = generator.choice(nouns, (sentences, 3), p=shares / shares.sum())
        verbs = generator.choice(VERBS, sentences)
        text = " ".join(f"the {a} {verb} a {b} near the {c}" for (a, b, c), verb in zip(drawn, verbs, strict=True))
        (folder / f"{number:03}.txt").write_text(text)


def quoted(words: list[str]) -> str:
    """An explanation that names words."""
    return " or ".join(json.dumps(word) for word in words)

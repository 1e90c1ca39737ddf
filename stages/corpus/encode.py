"""Documents -> rows of tokens of the subject's tokenizer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages import gguf, hub
from stages.corpus import joining
from stages.corpus.chat import Chat, front
from stages.corpus.document import Document
from stages.corpus.pack import pack, shuffled
from stages.corpus.spelt import Spelt
from stages.corpus.tokens import Vocabulary
from stages.errors import GlossaError, nearest, said
from stages.machine.counted import counted
from stages.machine.progress import bar
from stages.wiring.inputs import TOKENIZER

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BATCH = 256


class Encoded(NamedTuple):
    """What the tokenize stage writes."""

    tokens: NDArray[np.int32]
    documents: pa.Table
    vocabulary: Vocabulary
    meta: dict[str, Any]
    summary: str


def load_tokenizer(model: str, revision: str | None) -> tuple[PreTrainedTokenizerBase, str | None]:
    """Returns the tokenizer that lies beside the subject, or in its GGUF file, and its commit if it is on the Hub.

    Raises:
        GlossaError: there is none.
    """
    tokenizer, commit = find_tokenizer(model, revision)
    if tokenizer is None:
        raise GlossaError(
            f"subject.model {model} should hold a tokenizer, by which texts are read, but there is none; put one there, or read ready token "
            "ids (corpus.source: tokens)"
        )
    return tokenizer, commit


def find_tokenizer(model: str, revision: str | None) -> tuple[PreTrainedTokenizerBase | None, str | None]:
    """Returns the same, but None for a subject without a tokenizer.

    Raises:
        GlossaError: the subject or its commit can't be found, or there is a tokenizer that can't be loaded.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    from huggingface_hub.errors import HTTPError
    from transformers import AutoTokenizer

    folder, commit = Path(model), None
    try:
        if file := gguf.find(model):
            with gguf.header(file) as folder:
                return _fast(AutoTokenizer.from_pretrained(folder), model), None
        if folder.is_dir():
            if not _has_tokenizer(folder):
                return None, None
        else:
            commit = hub.pin(model, revision)
        tokenizer = _fast(AutoTokenizer.from_pretrained(model, revision=commit), model)
    except (OSError, ValueError, ImportError, RuntimeError, HTTPError) as error:
        why = hub.reason(error, model, revision)
        if why is None and commit is not None and not _has_tokenizer(hub.snapshot(model, commit)):
            return None, commit
        raise GlossaError(
            f"subject.model {model} should hold a tokenizer, but none can be loaded: {why or said(error)}"
        ) from None
    # Of some architectures Transformers makes up a tokenizer without a single token.
    return (tokenizer if tokenizer.backend_tokenizer.get_vocab_size(with_added_tokens=False) else None), commit


def _has_tokenizer(folder: Path) -> bool:
    return any(file.name.startswith(TOKENIZER) for file in folder.iterdir())


def _fast(tokenizer: PreTrainedTokenizerBase, model: str) -> PreTrainedTokenizerBase:
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise GlossaError(
            f"subject.model {model} should hold a tokenizer of the library tokenizers, found {type(tokenizer).__name__}, which is written "
            "in Python; convert it to a tokenizer.json"
        )
    return tokenizer


def beginning(tokenizer: PreTrainedTokenizerBase, bos: str, model: str) -> int | None:
    """Returns the token that every row begins with, None if there is none; ``bos`` is ``corpus.bos`` of params.yaml.

    ``auto`` is what the tokenizer of ``model`` itself puts in front of a text that it encodes. That it names a ``bos_token`` does not
    count: chat models name one that begins a turn, and never see it in front of a text.

    Raises:
        GlossaError: the vocabulary has no such token, or the tokenizer puts several in front.
    """
    if bos == "none":
        return None
    if bos != "auto":
        if (token := tokenizer.get_vocab().get(bos)) is None:
            known = sorted({*tokenizer.all_special_tokens, *map(str, tokenizer.added_tokens_decoder.values())})
            raise GlossaError(
                f"corpus.bos should be auto, none or a token of the vocabulary of {model}, found {bos}; {nearest(bos, known)}"
            )
        return token
    found = front(tokenizer)
    if len(found) > 1:
        names = " ".join(tokenizer.convert_ids_to_tokens(found))
        raise GlossaError(
            f"corpus.bos should name the token that rows begin with, as the tokenizer of {model} puts several in front of a text "
            f"({names}); name one, or none"
        )
    return found[0] if found else None


def encode(
    documents: Iterable[Document],
    model: str,
    revision: str | None,
    context_length: int,
    n_tokens: int,
    seed: int,
    bos: str = "auto",
    chat: bool | str | None = None,
) -> Encoded:
    """Shuffles, tokenizes and packs ``documents`` into at most ``n_tokens`` tokens; every row begins as ``beginning`` says.

    The text of a special token that occurs in a document is read as ordinary text, so only what we put in front and EOS are
    special; the BOS that the tokenizer names counts as special, too. If there is a ``chat`` (``corpus.chat``), the documents are
    conversations; the tokens with which its template marks turns are ordinary tokens then, EOS among them if it ends turns.

    Raises:
        GlossaError: the corpus is empty or too short for one row, ``bos`` is no token, there is no template, or it refuses a conversation.
    """
    tokenizer, commit = load_tokenizer(model, revision)
    first, eos = beginning(tokenizer, bos, model), tokenizer.eos_token_id
    reader = Chat(tokenizer, model, chat) if chat else None
    tokenizer.backend_tokenizer.encode_special_tokens = True
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    rows = whole_rows(n_tokens, context_length)
    names: list[str] = []
    lengths: list[int] = []
    tried: list[str] = []
    spelt_out, without = Spelt(tokenizer), 0

    def texts() -> Iterator[Document]:
        nonlocal without
        for document in bar("read documents", unit="document", iterable=documents):
            if document.is_empty:
                without += 1
            else:
                yield document

    def read(batch: list[Document]) -> list[list[int]]:
        if reader is not None:
            return reader.encode(batch)
        plain = list(map(_said, batch))
        return [one.ids for one in tokenizer.backend_tokenizer.encode_batch(plain, add_special_tokens=False)]

    def encoded() -> Iterator[list[int]]:
        stream = iter(shuffled(texts(), seed))
        with bar("tokenize", total=n_tokens, unit="token") as progress:
            while batch := list(islice(stream, BATCH)):
                tried.extend(map(_said, batch[: joining.SAMPLE - len(tried)]))
                for document, ids in zip(batch, read(batch), strict=True):
                    names.append(document.name)
                    lengths.append(len(ids))
                    progress.update(len(ids))
                    if reader is None:
                        spelt_out.look(document.text)
                    yield ids

    packed = pack(encoded(), context_length, first, eos, rows)
    if not names:
        raise GlossaError("the corpus is empty: corpus names a source without a single document that holds text")
    if not len(packed.tokens):
        raise GlossaError(
            f"the corpus should fill at least one row of corpus.context_length {context_length}, "
            f"but its {counted(len(names), 'document')} came to {counted(sum(lengths), 'token')}; add text or shorten the rows"
        )
    size = max(len(tokenizer), int(packed.tokens.max()) + 1)
    special = np.zeros(size, bool)
    special[special_tokens(tokenizer, first)] = True
    if reader is not None:
        special[sorted(reader.written - {first})] = False
    counts = np.bincount(packed.tokens.ravel(), minlength=size)
    n = len(packed.starts)
    table = pa.table(
        {
            "name": pa.array(names[:n], pa.string()),
            "start": pa.array(packed.starts, pa.int64()),
            "n_tokens": pa.array(lengths[:n], pa.int32()),
        }
    )
    spelt = joining.spell(
        tokenizer, size, set(np.flatnonzero(special).tolist()), joining.samples(tokenizer, tried), model
    )
    vocabulary = Vocabulary(spelt.tokens, counts, special)
    meta = {
        "bos": first,
        "eos": eos,
        "documents": n,
        "special_positions": int(special[packed.tokens].sum()),
        "tokenizer": {**named(model), "revision": commit, "size": len(tokenizer)} | joining.said(spelt),
    }
    found = packed.tokens.size
    summary = (
        f"{counted(n, 'document')}, {counted(len(packed.tokens), 'row')} of {context_length}, {counted(found, 'token')}"
    )
    if found < rows * context_length:
        summary += f" (the corpus ended before the {n_tokens:,} of corpus.tokens)"
    if reader is not None:
        meta |= {"chat_template": reader.template_sha256, "turn_tokens": sorted(reader.written)}
    if without:
        meta["documents_without_text"] = without
        summary += f"; {counted(without, 'document')} read {'has' if without == 1 else 'have'} no text"
    summary += str(spelt_out)
    return Encoded(packed.tokens, table, vocabulary, meta, summary)


def whole_rows(n_tokens: int, context_length: int) -> int:
    """Returns how many rows ``corpus.tokens`` are; raises GlossaError if not one."""
    if n_tokens < context_length:
        raise GlossaError(
            f"corpus.tokens should be at least corpus.context_length, found {n_tokens} and {context_length}; raise it"
        )
    return n_tokens // context_length


def _said(document: Document) -> str:
    """The text of a document, or what is said in its conversation."""
    contents = (turn.get("content") for turn in document.turns)
    text = document.text or "\n".join(content for content in contents if isinstance(content, str))
    # JSON and source code can spell half a surrogate pair, which is no text that a tokenizer takes.
    return text.encode("utf-8", "replace").decode()


def special_tokens(tokenizer: PreTrainedTokenizerBase, front: int | None) -> list[int]:
    """Returns the tokens that are special in rows which begin with ``front``."""
    return sorted({token for token in (front, tokenizer.bos_token_id, tokenizer.eos_token_id) if token is not None})


def named(model: str) -> dict[str, str]:
    """Returns what a tokenizer is called in meta.json; one in a GGUF file by the hash of the file, wherever that lies."""
    file = gguf.find(model)
    return {"model": model} if file is None else {"model": file.name, "gguf": gguf.sha256(file)}

"""Conversations -> tokens: a chat template writes the text, and what it writes as control tokens are control tokens.

Everything that a conversation says stays text, whatever it spells: before the template sees it, the control tokens in it are
broken by a character of ours. So all that are whole in what the template wrote are its own. They are given names that no text
can hold, under which the tokenizer finds them while it reads the ones in messages as ordinary text, as it does those in a corpus of texts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.corpus.document import Document
from stages.corpus.spelt import any_of
from stages.errors import GlossaError, said

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OPEN, CLOSE, BREAK = "\ufdd0", "\ufdd1", "\ufdd2"
"""Noncharacters, which Unicode keeps for the inside of a program; those in a message become U+FFFD."""
OURS = str.maketrans(dict.fromkeys((OPEN, CLOSE, BREAK), "\ufffd"))

TODAY = date(2024, 7, 26)
"""What templates that write the date of today write, so that the same corpus has the same tokens every day."""

CLOCK = "strftime_now"
DIRECTIVES = ("%a", "%A", "%b", "%B", "%d", "%H", "%I", "%j", "%m", "%M", "%p", "%S", "%y", "%Y")
"""How templates ask for the date, and which parts of it they may ask for."""


class Chat:
    """A tokenizer and the template by which it reads conversations."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, model: str, chat: bool | str) -> None:
        """``chat`` is ``corpus.chat``: the template of the tokenizer of ``model``, or the one in a file.

        Raises:
            GlossaError: there is no template.
        """
        from tokenizers import AddedToken, Tokenizer

        self._tokenizer, self._model = tokenizer, model
        self._template = _template(tokenizer, model, chat)
        self._dated = (_clock() if CLOCK in self._template else "") + self._template
        backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        tokens = {token: one for token, one in backend.get_added_tokens_decoder().items() if one.special}
        tokens = {token: one for token, one in tokens.items() if len(one.content) > 1}
        backend.add_tokens(
            [
                AddedToken(
                    _named(token), single_word=one.single_word, lstrip=one.lstrip, rstrip=one.rstrip, normalized=False
                )
                for token, one in tokens.items()
            ]
        )
        backend.encode_special_tokens = True
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        self._token_of = {backend.token_to_id(_named(token)): token for token in tokens}
        controls = {one.content: token for token, one in tokens.items()}
        self._names = {control: _named(token) for control, token in controls.items()}
        self._control = any_of(controls)
        self._begins = re.compile(f"(?={self._control.pattern})(.)", re.DOTALL)
        self._controls = tuple(controls)
        self._heads = {control[:n] for control in controls for n in range(1, len(control))}
        self._tails = {control[n:] for control in controls for n in range(1, len(control))}
        self._longest = max(map(len, self._heads), default=0)
        self._short = lru_cache(4096)(self._broken)  # keys and short answers come again and again
        eos = tokenizer.eos_token_id
        self._eos = (eos, _named(eos)) if eos in tokens else None
        self._front = front(tokenizer)
        self.written: set[int] = set()
        """The control tokens that the template wrote so far, but for what the tokenizer puts in front of any text."""

    @property
    def template_sha256(self) -> str:
        """The identity of the template."""
        return hashlib.sha256(self._template.encode()).hexdigest()

    def encode(self, documents: Sequence[Document]) -> list[list[int]]:
        """Returns the tokens of conversations, without those that packing puts around every document.

        That is what the tokenizer puts in front of a text, as rows begin with it, and an EOS at the end with the white space behind it.

        Raises:
            GlossaError: the template refuses a conversation; the message names it.
        """
        found = []
        for encoding in self._backend.encode_batch([self._text(one) for one in documents], add_special_tokens=False):
            ids = [self._token_of.get(token, token) for token in encoding.ids]
            begin = len(self._front) if self._front and ids[: len(self._front)] == self._front else 0
            self.written.update(self._token_of[token] for token in encoding.ids[begin:] if token in self._token_of)
            found.append(ids[begin:])
        return found

    def _text(self, document: Document) -> str:
        """The text of a conversation, its control tokens under the names that only we use."""
        from jinja2 import TemplateError

        turns = [{**self._harmless(turn), "role": turn["role"]} for turn in document.turns]
        try:
            written: Any = self._tokenizer.apply_chat_template(turns, chat_template=self._dated, tokenize=False)
        except (
            TemplateError,
            TypeError,
            ValueError,
            LookupError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ) as error:
            raise GlossaError(
                f"the chat template of corpus.chat should write the conversation {document.name}, but refuses it: {said(error)}; "
                "mend or leave out that row, or name another template"
            ) from None
        text = self._control.sub(lambda found: self._names[found[0]], written).replace(BREAK, "")
        if self._eos is not None and (bare := text.rstrip()).endswith(self._eos[1]):
            self.written.add(self._eos[0])
            text = bare.removesuffix(self._eos[1])
        return text

    def _harmless(self, value: Any, is_name: bool = False) -> Any:
        """A message in which every text is broken where it spells a control token, or could become a part of one.

        Of what a template compares with its own words, keys and types (``is_name``), an end may be a part, but not the whole.
        """
        if isinstance(value, dict):
            return {self._harmless(key, True): self._harmless(part, key == "type") for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self._harmless(part) for part in value]
        if not isinstance(value, str):
            return value
        return self._short(value, is_name) if len(value) < self._longest else self._broken(value, is_name)

    def _broken(self, text: str, is_name: bool) -> str:
        # JSON can spell half a surrogate pair, which is no text that a tokenizer takes.
        text = self._begins.sub(
            lambda found: found[0] + BREAK, text.encode("utf-8", "replace").decode().translate(OURS)
        )
        sizes = range(1, min(self._longest, len(text)) + 1)
        is_short = 0 < len(text) < self._longest and not is_name
        is_inside = is_short and any(text in control for control in self._controls)
        if is_inside or any(text[:n] in self._tails for n in sizes):
            text = BREAK + text
        return text + BREAK if any(text[-n:] in self._heads for n in sizes) else text


def front(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Returns what a tokenizer itself puts in front of a text that it encodes."""
    whole, bare = tokenizer("a")["input_ids"], tokenizer("a", add_special_tokens=False)["input_ids"]
    return whole[: next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)]


def _clock() -> str:
    """A macro in place of the clock that templates are given."""
    parts = "".join(f" | replace('{one}', '{TODAY.strftime(one)}')" for one in DIRECTIVES)
    return f"{{%- macro {CLOCK}(format) -%}}{{{{ format{parts} }}}}{{%- endmacro -%}}"


def _named(token: int) -> str:
    return f"{OPEN}{token}{CLOSE}"


def _template(tokenizer: PreTrainedTokenizerBase, model: str, chat: bool | str) -> str:
    if isinstance(chat, str):
        try:
            return Path(chat).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise GlossaError(
                f"corpus.chat should be true or name a file with a chat template, but {chat} can't be read: {said(error)}"
            ) from None
    found: Any = tokenizer.chat_template
    if isinstance(found, dict):  # several by name
        found = found.get("default")
    if not found:
        raise GlossaError(
            f"corpus.chat should find a chat template in the tokenizer of {model}, which has none; name a file with one, "
            "or leave corpus.chat out and give the conversations as texts"
        )
    return found

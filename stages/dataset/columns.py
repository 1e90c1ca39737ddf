"""What is in the data set: its configurations and their columns, for the files, the card and the Croissant description."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa


class Column(NamedTuple):
    """One column of a configuration."""

    name: str
    type: pa.DataType
    meaning: str


class Config(NamedTuple):
    """One configuration, a table in one or several files."""

    meaning: str
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pa.Schema:
        """The columns as Parquet holds them."""
        return pa.schema([(column.name, column.type) for column in self.columns])


CODER = Column("coder", pa.string(), "name of the sparse coder")
LATENT = Column("latent", pa.int32(), "index into the sparse coder")
EXPLAINER = Column("explainer", pa.string(), "name of the explainer; `latent` for scores that need no explanation")
SCORER = Column("scorer", pa.string(), "name of the scorer")
CONTROL = Column(
    "control",
    pa.string(),
    "`own`: judged by the latent's own explanation; `shuffled`: by that of another latent, which is the floor",
)
STRINGS, FLOATS, IDS = pa.list_(pa.string()), pa.list_(pa.float32()), pa.list_(pa.int32())

CONFIGS = {
    "explanations": Config(
        "A row for every coder, explainer and latent that was explained, or could not be.",
        (
            CODER,
            Column("explainer", pa.string(), "name of the explainer"),
            Column("hookpoint", pa.string(), "where the coder reads the subject"),
            LATENT,
            Column("explanation", pa.string(), "the text; null if there is none"),
            Column("reason", pa.string(), "why there is none"),
            Column("evidence", pa.string(), "JSON: what the explainer went by"),
            Column(
                "request",
                pa.string(),
                "key of the call that brought it, in the transcripts; null if no model was asked",
            ),
        ),
    ),
    "scores": Config(
        "A row for every latent that was scored, by its own explanation and, as a floor, by another's.",
        (
            CODER,
            EXPLAINER,
            SCORER,
            Column("metric", pa.string(), "what the score is"),
            CONTROL,
            LATENT,
            Column("score", pa.float64(), "null if undefined"),
            Column("low", pa.float64(), "lower end of the 95 % bootstrap interval"),
            Column("high", pa.float64(), "upper end"),
            Column("n", pa.int32(), "examples with a verdict"),
            Column("unscored", pa.int32(), "examples without one"),
            Column("reason", pa.string(), "why there is no score"),
        ),
    ),
    "verdicts": Config(
        "A row for every example that was judged: what the scores are made from.",
        (
            CODER,
            EXPLAINER,
            SCORER,
            CONTROL,
            LATENT,
            Column("window", pa.int64(), "`start` of the example in `examples`"),
            Column("role", pa.string(), "`test`: the latent fires; `negative`: it is silent"),
            Column("kind", pa.string(), "how the example was found or made; null for a plain test window"),
            Column("decile", pa.int8(), "1 (strongest) to 10; 0 where the latent is silent"),
            Column("active", pa.bool_(), "the truth"),
            Column("predicted", pa.bool_(), "the verdict; null if there is none, or a value only"),
            Column("value", pa.float64(), "probability of active, or similarity"),
            Column("values", FLOATS, "predictions for its tokens"),
            Column("reason", pa.string(), "why there is no verdict"),
            Column("request", pa.string(), "key of the call that was answered, in the transcripts"),
            Column(
                "text", pa.string(), "what was written for the scorer; null where the example is a window of the corpus"
            ),
        ),
    ),
    "examples": Config(
        "A row for every sampled window of the corpus: those that explainers saw (`train`) and those that were judged (`test`).",
        (
            CODER,
            LATENT,
            Column("role", pa.string(), "`train`, `validation` or `test`; no two windows of a latent share a token"),
            Column(
                "kind", pa.string(), "null where the latent fires; else how a window in which it is silent was found"
            ),
            Column("decile", pa.int8(), "1 (strongest) to 10, by rank of `max`; 0 where it is silent"),
            Column(
                "document", pa.string(), "name of the document of the strongest token; of the first where it is silent"
            ),
            Column("row", pa.int64(), "row of the tokenised corpus"),
            Column("position", pa.int32(), "column of the first token in that row"),
            Column("start", pa.int64(), "row * context length + position; unique for a latent"),
            Column("max", pa.float32(), "the largest activation"),
            Column("text", pa.string(), "what the tokens spell; a document ends in a line break"),
            Column(
                "tokens",
                STRINGS,
                "the tokens; a character that several spell stands at the first of them, the others are empty; one that the window cuts is U+FFFD",
            ),
            Column("token_ids", IDS, "the same as the tokenizer numbers them"),
            Column("activations", FLOATS, "one for every token; 0 where the latent is silent"),
        ),
    ),
    "similarity": Config(
        "A row for every matched pair of latents of two coders.",
        (
            Column("coder_a", pa.string(), "one coder"),
            Column("coder_b", pa.string(), "the other"),
            Column("explainer", pa.string(), "whose explanations are compared"),
            Column("latent_a", pa.int32(), "index into the one"),
            Column("latent_b", pa.int32(), "index into the other"),
            Column("decoder_cosine", pa.float32(), "of the directions they write; null where undefined"),
            Column("encoder_cosine", pa.float32(), "of the directions they read"),
            Column("activation_correlation", pa.float32(), "Pearson, on shared tokens"),
            Column("activation_jaccard", pa.float32(), "of the tokens on which they fire"),
            Column("explanation_a", pa.string(), "null where there is none"),
            Column("explanation_b", pa.string(), "null where there is none"),
            Column("explanation_cosine", pa.float32(), "of the explanations' embeddings"),
        ),
    ),
}

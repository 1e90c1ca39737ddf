"""params.yaml as frozen, validated sections: every value that can change a result.

The options of a single explainer or scorer belong to its unit; here an entry is only known to have a ``kind``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from stages import paths
from stages.errors import GlossaError, nearest

S = TypeVar("S", bound="Section")
NAME = re.compile(r"[a-z0-9_]+")
LATENT = "latent"
"""Stands for an explainer where a latent itself is scored."""


class Section(BaseModel):
    """A part of params.yaml: no unknown keys, no silent conversions, never changed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _only_known_keys(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for key in value:
                if key not in cls.model_fields:
                    hint = nearest(str(key), cls.model_fields)
                    raise PydanticCustomError(
                        "unknown_key", "has no key '{key}'; {hint}", {"key": str(key), "hint": hint}
                    )
        return value


def _read_choice(value: Any) -> Any:
    """``latents`` may be written as ``all``, ``{first: N}``, ``{random: N}`` or a list of latents."""
    if value == "all":
        return {"how": "all"}
    if isinstance(value, list) and value and all(type(latent) is int and latent >= 0 for latent in value):
        return {"how": "list", "latents": tuple(value)}
    if isinstance(value, dict) and len(value) == 1:
        (how, n) = next(iter(value.items()))
        if how in ("first", "random") and type(n) is int and n >= 1:
            return {"how": how, "n": n}
    forms = {"forms": "all, {first: N}, {random: N} with N at least 1, or a list of latents, whole numbers from 0 up"}
    raise PydanticCustomError("choice", "should be {forms}", forms)


def _check_precision(value: Any) -> Any:
    if value in ("exact", "bf16") or (type(value) is int and 1 <= value <= 23):
        return value
    raise PydanticCustomError("precision", "should be exact, bf16 or the number of mantissa bits kept, 1 to 23")


class Choice(Section):
    """Which latents are explained."""

    how: Literal["all", "first", "random", "list"]
    n: Annotated[int, Field(ge=1)] | None = None
    latents: tuple[Annotated[int, Field(ge=0)], ...] = ()


class InstalledDocs(Section):
    """The docstrings of installed packages."""

    source: Literal["installed-docs"]
    packages: Annotated[list[str], Field(min_length=1)]
    split: Literal["train", "held-out", "all"] = "held-out"
    context_length: Annotated[int, Field(ge=8, le=1_048_576)]
    tokens: Annotated[int, Field(ge=1)]


class LocalText(Section):
    """A file or a folder of text, JSON Lines or Parquet files."""

    source: Literal["text", "jsonl", "parquet"]
    path: str
    field: str = "text"
    context_length: Annotated[int, Field(ge=8, le=1_048_576)]
    tokens: Annotated[int, Field(ge=1)]


class HubDataset(Section):
    """A data set in the layout of the Hugging Face Hub, streamed at a pinned revision."""

    source: Literal["hub"]
    path: str
    revision: str
    name: str | None = None
    split: str = "train"
    field: str = "text"
    context_length: Annotated[int, Field(ge=8, le=1_048_576)]
    tokens: Annotated[int, Field(ge=1)]


Corpus = Annotated[InstalledDocs | LocalText | HubDataset, Field(discriminator="source")]


class Subject(Section):
    """The language model under study."""

    model: str
    revision: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    weights: Literal["trained", "random"] = "trained"
    quantization: Literal["none", "8bit", "4bit"] = "none"


class Cache(Section):
    """In what type the coders compute, and how exactly activations are stored."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Activations of a coder that computes in bfloat16 are stored exactly at a third of the size."""

    precision: Annotated[Literal["exact", "bf16"] | int, BeforeValidator(_check_precision)] = "exact"
    """``exact``, ``bf16`` or the number of mantissa bits kept."""


Weights = Literal["trained", "random"] | None
"""Which weights of the subject a coder reads, if not those that ``subject.weights`` names."""


class Coder(Section):
    """A sparse coder that somebody saved."""

    path: str
    """A folder or a file, or ``hub://owner/repository/folder@revision``."""
    hookpoint: str | None = None
    """Where it reads the subject, unless its files say so."""
    norm_factor: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """The constant by which its inputs were multiplied in training, where the files only say that there was one."""
    centre: bool = False
    """Whether it was trained on activations that were mean-centred over their width."""
    weights: Weights = None


class Neurons(Section):
    """A control: the neurons of an MLP, of which the ``k`` largest count on every token."""

    kind: Literal["neurons"]
    hookpoint: str
    k: Annotated[int, Field(ge=1)]
    weights: Weights = None


class RandomCoder(Section):
    """A control: a TopK coder whose directions are drawn at random."""

    kind: Literal["random"]
    hookpoint: str
    latents: Annotated[int, Field(ge=1)]
    k: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Beside the seed of params.yaml."""
    weights: Weights = None


def _kind_of_coder(value: Any) -> Any:
    if isinstance(value, dict):
        return value.get("kind", "saved")
    return "random" if isinstance(value, RandomCoder) else "neurons" if isinstance(value, Neurons) else "saved"


AnyCoder = Annotated[
    Annotated[Coder, Tag("saved")] | Annotated[Neurons, Tag("neurons")] | Annotated[RandomCoder, Tag("random")],
    Discriminator(_kind_of_coder),
]


class Negatives(Section):
    """How many windows without the latent are taken, by the way they are found."""

    random: Annotated[int, Field(ge=0)] = 0
    """Anywhere."""
    neighbour: Annotated[int, Field(ge=0)] = 0
    """Where latents fire that often fire together with this one."""
    semantic: Annotated[int, Field(ge=0)] = 0
    """Nearest in meaning to the windows in which it fires."""
    surface: Annotated[int, Field(ge=0)] = 0
    """Holding the token on which it fires most."""


class TestNegatives(Negatives):
    """The negatives that scorers are given: the paper's unless said."""

    random: Annotated[int, Field(ge=0)] = 100


class Train(Section):
    """The windows shown to an explainer."""

    strategy: Literal["quantile", "random", "top", "mix"] = "quantile"
    n: Annotated[int, Field(ge=1)] = 40
    negatives: Negatives = Negatives()


class Validation(Section):
    """The windows among which an explainer may choose between its explanations; spread over the deciles."""

    n: Annotated[int, Field(ge=0)] = 0
    negatives: Negatives = Negatives()


class Test(Section):
    """The windows held out for the scorers."""

    per_decile: Annotated[int, Field(ge=1)] = 10
    negatives: TestNegatives = TestNegatives()


class Sampling(Section):
    """Which latents are explained, and from which windows."""

    latents: Annotated[Choice, BeforeValidator(_read_choice)]
    min_activations: Annotated[int, Field(ge=1)] = 200
    window: Annotated[int, Field(ge=4)] = 32
    centre: Annotated[int, Field(ge=0)] | None = None
    """The column of a window at which its strongest token stands; by default rows are cut into blocks."""
    across_documents: bool = True
    """Whether a window may hold the end of a document and the beginning of another."""
    train: Train = Train()
    validation: Validation = Validation()
    test: Test = Test()
    embedder: str = "all-MiniLM-L6-v2"
    """By whose sentence embeddings semantic negatives are found."""


def _read_pairs(value: Any) -> Any:
    """``pairs`` may be written as ``all`` or as a list of two names each."""
    if value == "all":
        return None
    if isinstance(value, list) and all(isinstance(p, list) and len(p) == 2 == len(set(map(str, p))) for p in value):
        return tuple(map(tuple, value))
    raise PydanticCustomError("pairs", "should be all, or a list of pairs of different coders such as [one, two]")


class Other(Section):
    """A sparse coder of another project, such as one of another subject."""

    path: str
    """The folder that holds the other project's data/."""
    coder: str
    """What it is called there."""


class Compare(Section):
    """How sparse coders are compared."""

    embedder: str = "all-MiniLM-L6-v2"
    """A sentence-transformers model: a folder, a packaged model or a repository on the Hub."""
    prompt: str | None = None
    """Name of the embedder's prompt for explanations; by default the one for sentence similarity, if it has one."""
    pairs: Annotated[tuple[tuple[str, str], ...] | None, BeforeValidator(_read_pairs)] = None
    """Which coders are compared with which; None is every two."""
    match: Literal["decoder", "encoder", "both", "activations", "meaning"] = "decoder"
    """Which similarity decides what latents are matched."""
    activations: bool = False
    """Whether the stores of activations are read, for correlations on the shared tokens."""
    ceiling: Annotated[int, Field(ge=0)] = 0
    """Latents of every coder that are explained anew from either half of their train windows."""
    others: dict[str, Other] = {}
    """Coders of other projects, compared by meaning, by the names they have here."""

    @property
    def reads_stores(self) -> bool:
        """Whether anything asked for needs the stores of activations."""
        return self.activations or self.match == "activations"

    def place(self, coder: str) -> tuple[Path, str]:
        """Returns the folder of the project that a coder belongs to, and what it is called there."""
        other = self.others.get(coder)
        return (Path(), coder) if other is None else (Path(other.path), other.coder)


class Report(Section):
    """What the report shows of every latent."""

    examples: Annotated[int, Field(ge=1, le=100)] = 6


class Params(Section):
    """The whole of params.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    corpus: Corpus
    subject: Subject
    cache: Cache = Cache()
    models: dict[str, dict[str, Any]] = {}
    coders: Annotated[dict[str, AnyCoder], Field(min_length=1)]
    sampling: Sampling
    explainers: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    scorers: dict[str, dict[str, Any]] = {}
    compare: Compare = Compare()
    report: Report = Report()

    def subject_of(self, coder: str) -> Subject:
        """The subject that a coder reads."""
        weights = self.coders[coder].weights
        return self.subject if weights is None else self.subject.model_copy(update={"weights": weights})


def load(path: Path = paths.PARAMS) -> Params:
    """Reads and validates params.yaml.

    Raises:
        GlossaError: the file is missing, no YAML, or says something no stage understands.
    """
    raw = read_yaml(path)
    params = parse(Params, raw, "", path)
    for section in ("coders", "explainers", "scorers"):
        for name in getattr(params, section):
            if not NAME.fullmatch(name):
                raise GlossaError(f"{path}: the name {section}.{name} should hold only a-z, 0-9 and _; rename it")
    if LATENT in params.explainers:
        raise GlossaError(
            f"{path}: an explainer can't be called {LATENT}, where the scores are that need no explanation; rename it"
        )
    for section in ("explainers", "scorers"):
        for name, entry in getattr(params, section).items():
            if not isinstance(entry.get("kind"), str):
                raise GlossaError(f"{path}: {section}.{name} should have a kind, found {entry!r}")
    window, length = params.sampling.window, params.corpus.context_length
    if length % window:
        raise GlossaError(
            f"{path}: sampling.window should divide corpus.context_length, found {window} and {length}; "
            "choose one that does"
        )
    if (centre := params.sampling.centre) is not None and centre >= window:
        raise GlossaError(
            f"{path}: sampling.centre should be a column of the window, 0 to {window - 1}, found {centre}; "
            "choose one, or null"
        )
    return params


def read_yaml(path: Path) -> Any:
    """Reads a YAML 1.2 file, as DVC does."""
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GlossaError(
            f"expected {path} in {Path.cwd()}, but there is no such file; run Glossa in a clone of it"
        ) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise GlossaError(
            f"{path} should be YAML, but it can't be read: {error.problem or error.context}{where}"
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise GlossaError(f"{path} should be YAML, but it can't be read: {' '.join(str(error).split())}") from None


def parse(section: type[S], value: Any, key: str, path: Path = paths.PARAMS) -> S:
    """Returns ``value``, found under ``key``, as a ``section``; raises GlossaError naming the first wrong key."""
    try:
        return section.model_validate(value)
    except ValidationError as error:
        raise GlossaError(f"{path}: {_describe(key, error)}") from None


def _describe(key: str, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = [part for part in (key, *(str(part) for part in first["loc"])) if part]
    found = repr(first["input"])
    found = found if len(found) <= 100 else f"{found[:99]}…"
    if place[-1:] == ["[key]"]:  # pydantic's name for a wrong key of a dict, which stands before it in the path
        return f"the name {'.'.join(place[:-1])} should be text, found {found}; put it in quotes"
    if place:
        tag = {"corpus": 1, "coders": 2}.get(place[0], len(place))  # where pydantic puts a union's tag into the path
        del place[tag : tag + 1]
    where = ".".join(place) or "the file"
    match first["type"]:
        case "unknown_key":
            return f"{where} {first['msg']}"
        case "missing":
            return f"{where} is missing; add it"
        case "union_tag_invalid" if place[0] == "coders":
            found = repr(first["input"]["kind"])
            return f"{where}.kind should be neurons or random, or left out for a coder with a path, found {found}"
        case "union_tag_invalid":
            return f"{where}.source should be one of {first['ctx']['expected_tags']}, found {first['ctx']['tag']!r}"
        case "union_tag_not_found":
            return f"{where}.source is missing; add it"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{where} should be a mapping of keys to values, found {found}"
        case "too_short":
            return f"{where} should not be empty; name at least one"
        case _:
            message = first["msg"].removeprefix("Input ")
            return f"{where} {message[0].lower() + message[1:]}, found {found}"

"""README.md: the data set card, with the front matter that makes ``load_dataset`` and the Hub's viewer work."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
from jinja2 import Environment, StrictUndefined
from ruamel.yaml import YAML

from stages.dataset.columns import CONFIGS
from stages.text.display import visible

SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B")
"""Where the Hub's size categories end; ``https://huggingface.co/docs/hub/datasets-cards``."""

LICENCE = (
    "No licence is stated for these data: whoever publishes them has to choose one. The windows in `examples` quote the corpus, whose text belongs "
    "to its authors and keeps their licences; check that you may pass it on, or leave that configuration out. Subject, sparse coders and the language "
    "models that wrote the explanations have licences of their own, some of which bind what may be done with answers."
)


def card(facts: dict[str, Any]) -> str:
    """Returns the card of what ``facts.facts`` found."""
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    environment.filters |= {"code": code, "listed": listed, "number": _number, "plain": _plain}
    template = environment.from_string(Path(__file__).with_name("card.md").read_text("utf-8"))
    text = template.render(
        title=title(facts), front=front(facts), facts=facts, configs=CONFIGS, licence=LICENCE, by_hand=by_hand(facts)
    )
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def title(facts: dict[str, Any]) -> str:
    """What the data set is called."""
    subjects = dict.fromkeys(visible(subject["model"]) for subject in facts["subjects"])
    return f"Explanations of sparse coders of {', '.join(subjects)}"


def front(facts: dict[str, Any]) -> str:
    """The YAML front matter, without its fences."""
    found = {
        "pretty_name": title(facts),
        "license": "other",
        "license_name": "see-card",
        "annotations_creators": [
            *(["machine-generated"] if len(by_hand(facts)) < len(facts["explainers"]) else []),
            *(["expert-generated"] if by_hand(facts) else []),  # the Hub has no word for people who are no experts
        ],
        "size_categories": [size_category(sum(facts["rows"]["explanations"].values()))],
        "tags": ["interpretability", "sparse-autoencoder", "explanations", "glossa"],
        "configs": [
            {
                "config_name": name,
                **({"default": True} if name == "explanations" else {}),
                "data_files": [{"split": "train", "path": f"{name}/*.parquet"}],
            }
            for name in CONFIGS
            if sum(facts["rows"][name].values())  # ``load_dataset`` refuses one that holds no row
        ],
    }
    yaml = YAML()
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump(found, stream)
    return stream.getvalue()


def by_hand(facts: dict[str, Any]) -> list[str]:
    """The explainers that people are."""
    return [name for name, unit in facts["explainers"].items() if unit.get("by_hand")]


def size_category(rows: int) -> str:
    """The Hub's name for a number of rows, such as ``1K<n<10K``."""
    ends = [10**power for power in range(3, 11)]
    place = next((place for place, end in enumerate(ends) if rows < end), len(ends))
    if place == 0:
        return "n<1K"
    return f"{SIZES[place - 1]}<n<{SIZES[place]}" if place < len(SIZES) else "n>10B"


def code(value: Any) -> str:
    """``value`` as code in a cell of a table: nothing in it ends the code, the cell or the line."""
    text = visible(str(value)).replace("`", "'").replace("|", "¦")
    return f"`{text}`"


def listed(value: dict[str, Any]) -> str:
    """A mapping as ``name value`` pairs, nested ones as JSON."""
    return ", ".join(
        f"{visible(str(name))} {code(item if isinstance(item, str) else json.dumps(item, sort_keys=True, ensure_ascii=False))}"
        for name, item in value.items()
    )


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _plain(kind: pa.DataType) -> str:
    return f"list of {kind.value_type}" if pa.types.is_list(kind) else str(kind)

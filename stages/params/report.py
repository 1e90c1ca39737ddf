"""``report``: what the report shows."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stages.params.base import Section


class Report(Section):
    """What the report shows of every latent."""

    examples: Annotated[int, Field(ge=1, le=100)] = 6

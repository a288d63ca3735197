"""What all sections of an experiment file have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["MOST_JOBS", "Jobs", "Section"]

MOST_JOBS = 256
"""Processes or threads at once: more are a slip of the hand, and would bring a machine down."""
Jobs = Annotated[int, Field(ge=1, le=MOST_JOBS)]


class Section(BaseModel):
    """Keys with types; unknown ones are mistakes, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

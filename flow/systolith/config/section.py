"""What all sections of an experiment file share: strictness, and ranges of numbers."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["MOST_JOBS", "Count", "Jobs", "Positive", "Section", "Share"]

MOST_JOBS = 256
"""Most processes or threads at once; larger numbers are typing errors and would stop a machine."""
Jobs = Annotated[int, Field(ge=1, le=MOST_JOBS)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """Typed keys; unknown keys are mistakes, and no value is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

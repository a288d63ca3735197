"""Errors of training."""

from systolith.foundation import ProblemsError

__all__ = ["DivergedError", "TrainingError"]


class TrainingError(ProblemsError, ValueError):
    """Arguments or data with which a model cannot be trained or evaluated."""


class DivergedError(ArithmeticError):
    """Training whose loss is no longer finite."""

    def __init__(self, phase: str, epoch: int, loss: float, learning_rate: float) -> None:
        super().__init__(
            f"training needs a finite loss, got {loss} in epoch {epoch} of phase '{phase}'; "
            f"try a learning_rate below {learning_rate}"
        )

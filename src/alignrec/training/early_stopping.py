"""Early stopping: the best validation value so far and how long ago it was."""

from dataclasses import dataclass

__all__ = ["EarlyStopping"]


@dataclass
class EarlyStopping:
    """Counts validations without a strict improvement; stops when the count exceeds `patience`.

    A larger value is better. Values are compared in full precision.
    """

    patience: int
    best: float = float("-inf")
    best_epoch: int = 0
    waited: int = 0

    def update(self, value: float, epoch: int) -> bool:
        """Note the validation value of `epoch`; whether it is the best so far."""
        if value > self.best:
            self.best, self.best_epoch, self.waited = value, epoch, 0
            return True
        self.waited += 1
        return False

    @property
    def stop(self) -> bool:
        """Whether the patience is used up."""
        return self.waited > self.patience

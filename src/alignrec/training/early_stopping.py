"""Early stopping: the best validation value so far and how long ago it was."""

from dataclasses import dataclass

__all__ = ["EarlyStopping"]


@dataclass
class EarlyStopping:
    """Counts validations without a strict improvement; stops when the count exceeds `patience`.

    A larger value is better. Values are compared in full precision, or rounded to `decimals`, as MMRec compares them: a
    gain that rounding hides is then none, and runs are shorter.
    """

    patience: int
    decimals: int | None = None
    best: float = float("-inf")
    best_epoch: int = 0
    waited: int = 0

    def update(self, value: float, epoch: int) -> bool:
        """Note the validation value of `epoch`; whether it is the best so far."""
        if self._compared(value) > self._compared(self.best):
            self.best, self.best_epoch, self.waited = value, epoch, 0
            return True
        self.waited += 1
        return False

    def _compared(self, value: float) -> float:
        return value if self.decimals is None else round(value, self.decimals)

    @property
    def stop(self) -> bool:
        """Whether the patience is used up."""
        return self.waited > self.patience

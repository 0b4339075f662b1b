"""What is done to rows in training, and not to those held out."""

import contextlib
from collections.abc import Iterator


class TrainingOnly:
    """Base of what is drawn, or learnt, for rows in training: for rows held out, it stands still."""

    is_held_out = False

    @contextlib.contextmanager
    def held_out(self) -> Iterator[None]:
        """Enter for rows held out: what is drawn is the same each time, and nothing is learnt or noted."""
        self.is_held_out = True
        try:
            yield
        finally:
            self.is_held_out = False

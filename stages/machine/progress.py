"""Progress bars on standard error, shown only when a loop takes longer than a second or two."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Event, Thread
from typing import Any
from weakref import ReferenceType, ref

from tqdm import tqdm

SHOW_AFTER_SECONDS = 1.5


class Bar(tqdm):
    """A bar that shows itself, and its clock, also while its first step takes minutes, as a language model's may."""

    def __init__(self, *args: Any, **options: Any):
        self._over = Event()
        super().__init__(*args, **options)
        if not self.disable:
            Thread(target=_tick, args=(ref(self), self._over), daemon=True).start()

    def close(self) -> None:
        """Takes the bar away."""
        self._over.set()
        with self.get_lock():  # so that nothing is drawn behind it
            super().close()


def _tick(shown: ReferenceType[Bar], over: Event) -> None:
    while not over.wait(SHOW_AFTER_SECONDS) and (one := shown()) is not None:
        with one.get_lock():
            if not one.disable:
                one.last_print_t = max(one.last_print_t, one.start_t + one.delay)  # close goes by it
                one.display()
        del one


def bar(description: str, total: int | None = None, unit: str = "it", iterable: Iterable[Any] | None = None) -> tqdm:
    """A progress bar; use it as an iterator over ``iterable`` or as a context manager with ``update``."""
    return Bar(
        iterable,
        desc=description,
        total=total,
        unit=f" {unit}",
        unit_scale=unit == "token",
        delay=SHOW_AFTER_SECONDS,
        mininterval=0.5,
        leave=False,
        dynamic_ncols=True,
    )

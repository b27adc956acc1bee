"""Sending: a run's metrics go elsewhere too, while it goes on and at its end."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perflib.spec.options import receiver_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perflib.session.drive import Watch, Watching
    from perflib.spec import Run
    from perflib.store.runs import RunFolder


@dataclass(frozen=True)
class _Both:
    """Two who watch a run, the one who shows it first."""

    shown: Watching
    sent: Watching

    def look(self) -> None:
        self.shown.look()
        self.sent.look()

    def ended(self, run: Run) -> Run:
        return self.sent.ended(self.shown.ended(run))


def sent_too(watch: Watch, to: str) -> Watch:
    """The same watcher, and one that sends the metrics to `to`, as `Options.otlp` says it; empty: nowhere.

    Raises:
        InputError: where the environment is to name the receiver, and does not.
    """
    if not to:
        return watch
    receiver_of(to, os.environ)  # told before anything is measured
    from perflib.export.otlp import Export  # an extra; it takes a moment, which no run has to share

    @contextmanager
    def both(folder: RunFolder) -> Iterator[_Both]:
        with watch(folder) as shown, Export(folder, to) as sent:
            yield _Both(shown, sent)

    return both

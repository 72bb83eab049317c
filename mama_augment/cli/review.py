"""The command `review`."""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mama_augment.concepts.base import ConceptConfig
from mama_augment.core.errors import InputError, TerminatedError
from mama_augment.core.fields import option
from mama_augment.core.shared import say
from mama_augment.people.review.config import SampleConfig

if TYPE_CHECKING:
    from mama_augment.people.review.session import Session

PORT = 8765


@dataclass(frozen=True, kw_only=True)
class ReviewCommand:
    """Judge and browse texts in the browser, on this machine alone; `balance --reviews` trusts what
    was accepted."""

    directories: tuple[str, ...] = field(metadata=option(positional=True))
    """Outputs of `keyframes` (one or more) and of `caption`, in any order."""
    out: str = "reviews"
    """Directory for the verdicts. What is there goes on."""
    sample: SampleConfig = field(metadata=option(panel="What is asked about"))
    concepts: ConceptConfig = field(metadata=option(panel="Concepts"))
    scores: str | None = None
    """The output of `score`: browsing then filters and sorts by agreement."""
    port: int = PORT
    """The port of 127.0.0.1 to serve the page on; 0 is any that is free."""
    open_page: bool = field(default=False, metadata=option("--open"))
    """Open the page in the browser of this desktop."""

    def __call__(self) -> int:
        import tempfile
        from pathlib import Path

        from mama_augment.balance.source.inputs import Inputs
        from mama_augment.balance.source.scores import Scores
        from mama_augment.core.store.output import StepOutput
        from mama_augment.people.review.open import open_session
        from mama_augment.people.review.server import bind

        if self.concepts.column:
            raise InputError("--concept-column: `review` reads texts alone; leave it out")
        inputs = Inputs.sort(self.directories)
        with (
            tempfile.TemporaryDirectory(prefix="mama-augment-") as scratch,
            bind(self.port) as bound,
            StepOutput(self.out).locked(),
        ):
            with say.terminal() as tell:
                session = open_session(
                    inputs,
                    self.out,
                    self.sample,
                    self.concepts,
                    Path(scratch),
                    agreement=Scores.open(self.scores).of if self.scores is not None else None,
                    tell=tell.phase,
                )
            self._serve(session, bound)
        self._sum_up(session)
        return 0

    def _serve(self, session: Session, bound: socket.socket) -> None:
        """Until Ctrl-C, which is how a review ends."""
        from mama_augment.people.review.server import address, make_app, make_server

        token = secrets.token_urlsafe(16)
        page = address(bound, token)
        say.say(f"review: {page}")
        say.tell("Open this address in a browser on this machine. Ctrl-C ends the program.")
        if self.open_page:
            import webbrowser

            webbrowser.open(page)
        try:
            make_server(make_app(session, token)).run(sockets=[bound])
        except TerminatedError:
            raise
        except KeyboardInterrupt:
            return

    def _sum_up(self, session: Session) -> None:
        progress = session.progress()
        counts = progress["verdicts"]
        judged = ", ".join(f"{number:,} {name}" for name, number in counts.items()) or "none"
        num_left = sum(item["verdict"] is None for item in progress["items"])
        say.say(f"verdicts: {judged}; {num_left:,} texts are left. Saved in {self.out}")
        say.tell(f"`mama-augment balance … --reviews {self.out}` uses them.")
        say.summary({"out": self.out, "verdicts": counts, "left": num_left})

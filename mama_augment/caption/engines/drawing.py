"""One token after the other: seeded draws and their probabilities, as logits processors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


class SeededDraw:
    """Sampling as a logits processor for greedy search, each row from a generator of its own.

    argmax(logits / T + Gumbel noise) is distributed as softmax(logits / T). transformers' own
    sampling draws the whole batch from one global generator, so that a caption would depend on
    its neighbours.
    """

    def __init__(
        self, seeds: Sequence[int], temperature: float, top_p: float, warpers: Sequence[Any] = ()
    ) -> None:
        """warpers: transformers' own (top-k, min-p, …), applied in their order after T."""
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.temperature = temperature
        self.top_p = top_p
        self.warpers = warpers

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """scores [batch, vocabulary] -> the same, with noise; -inf stays -inf."""
        logits = scores.float() / self.temperature
        for warper in self.warpers:
            logits = warper(input_ids, logits)
        if self.top_p < 1:
            ordered, order = logits.softmax(-1).sort(-1, descending=True)
            # A token is outside when those before it already reach top_p; the first never is.
            outside = ordered.cumsum(-1) - ordered >= self.top_p
            logits = logits.masked_fill(outside.scatter(-1, order, outside), -torch.inf)
        uniform = torch.stack(
            [torch.rand(logits.shape[1], generator=generator) for generator in self.generators]
        )
        noise = -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))
        return logits + noise.to(logits.device)


class Confidence:
    """Mean log-probability of each caption's tokens, the stop included, before temperature.

    A processor sees the scores of a token before it is chosen, and the choice one call later; only
    one step's scores are kept.
    """

    def __init__(self, stop_ids: Sequence[int]) -> None:
        self._stop_ids = torch.tensor(list(stop_ids))
        self._last: torch.Tensor | None = None
        self._sum = torch.zeros(0)
        self._number = torch.zeros(0)
        self._ended = torch.zeros(0, dtype=torch.bool)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """scores [batch, vocabulary] come back as they are."""
        self._take(input_ids[:, -1])
        self._last = scores.float().log_softmax(-1)
        return scores

    def means(self, output: torch.Tensor) -> list[float | None]:
        """output: what `generate` returned, [batch, prompt + new]; ends the count."""
        self._take(output[:, -1])
        means = self._sum / self._number.clamp(min=1)
        told = self._number.gt(0).tolist()
        return [
            mean if is_told else None for mean, is_told in zip(means.tolist(), told, strict=True)
        ]

    def _take(self, chosen: torch.Tensor) -> None:
        if self._last is None:  # the prompt's last token
            self._sum = torch.zeros(len(chosen), dtype=torch.float64)
            self._number = torch.zeros(len(chosen))
            self._ended = torch.zeros(len(chosen), dtype=torch.bool)
            return
        chosen = chosen.to(self._last.device)
        found = self._last.gather(1, chosen[:, None])[:, 0].cpu().double()
        self._sum += torch.where(self._ended, 0.0, found)
        self._number += (~self._ended).float()
        self._ended |= torch.isin(chosen.cpu(), self._stop_ids)
        self._last = None

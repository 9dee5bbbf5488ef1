"""Token states into one vector: the ways that sentence-transformers names, for padding on the right.

Float arithmetic on the mask alone, without gathering: every runtime has these operators.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edgekd.errors import BadInputError, nearest

FAR_BELOW = 1e4  # taken from masked states, so that none of them is the largest


def pool(states: Tensor, attention_mask: Tensor, how: str) -> Tensor:
    """Pool ``states`` (B, L, H) under ``attention_mask`` (B, L) of 0 and 1, which ends in its zeros: (B, H).

    With m the mask and t = 1..L: 'mean' is sum(m x) / sum(m); 'mean_sqrt_len_tokens' sum(m x) / sqrt(sum(m));
    'weightedmean' sum(t m x) / sum(t m); 'max' the largest; 'cls' the first and 'lasttoken' the last attended state.
    Source: Pooling in https://sbert.net, and for weightedmean https://arxiv.org/abs/2202.08904

    >>> states, mask = torch.tensor([[[1.0], [4.0], [9.0]]]), torch.tensor([[1, 1, 0]])
    >>> [pool(states, mask, how).item() for how in ("mean", "cls", "max", "lasttoken", "weightedmean")]
    [2.5, 1.0, 4.0, 4.0, 3.0]
    """
    return POOLINGS[how](states, attention_mask[:, :, None].to(states.dtype))


def refuse_unknown(how: str) -> None:
    """Refuse a name that is no pooling.

    Raises:
        BadInputError: with the names that there are.

    """
    if how not in POOLINGS:
        raise BadInputError(f"pooling: found {how!r}, which edgekd doesn't have", nearest(how, POOLINGS))


def _weighted(states: Tensor, weights: Tensor) -> Tensor:
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)


def _mean_of_root(states: Tensor, mask: Tensor) -> Tensor:
    return (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9).sqrt()


def _weighted_mean(states: Tensor, mask: Tensor) -> Tensor:
    steps = torch.arange(1, states.shape[1] + 1, dtype=states.dtype, device=states.device)
    return _weighted(states, mask * steps[None, :, None])


def _max(states: Tensor, mask: Tensor) -> Tensor:
    return (states - (1.0 - mask) * FAR_BELOW).amax(1)


def _first(states: Tensor, _mask: Tensor) -> Tensor:
    return states[:, 0]


def _last(states: Tensor, mask: Tensor) -> Tensor:
    following = torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], 1)
    return (states * mask * (1.0 - following)).sum(1)


POOLINGS = {
    "mean": _weighted,
    "mean_sqrt_len_tokens": _mean_of_root,
    "weightedmean": _weighted_mean,
    "max": _max,
    "cls": _first,
    "lasttoken": _last,
}

"""Losses between inner layers: hidden states, attention maps, and relations among queries, keys or values.

``mask`` (B, L) is 1 at tokens and 0 at padding, as an attention mask; padding never counts.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

PADDING_SCORE = -1e9  # the score of a key that is padding: its share is 0, and differences of two stay finite


def pooled(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Average feature maps (B, C, H, W) and (B, C', H', W') down to the smaller height and the smaller width.

    Other tensors are returned as they are.

    >>> import torch
    >>> pooled(torch.tensor([[[[1.0, 3.0], [5.0, 7.0]]]]), torch.zeros(1, 2, 1, 1))[0].tolist()
    [[[[4.0]]]]
    """
    if student.dim() != 4 or teacher.dim() != 4:
        return student, teacher
    height, width = (min(student.shape[side], teacher.shape[side]) for side in (2, 3))
    return tuple(functional.adaptive_avg_pool2d(maps, (height, width)) for maps in (student, teacher))  # type: ignore[return-value]


def hidden(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Squared error of hidden states, mean over all values that aren't padding.

    (1 / n) Σ (student - teacher)². Both (B, L, C) with a mask (B, L), or any one shape without; a student of another
    width is projected first (:class:`~edgekd.algorithms.losses.terms.Terms`), feature maps of another size pooled
    (:func:`pooled`). Romero et al., 'FitNets', https://arxiv.org/abs/1412.6550 (half of it there);
    Jiao et al., 'TinyBERT', https://arxiv.org/abs/1909.10351

    Two tokens, the second one padding: ((1 - 0)² + (2 - 0)²) / 2.

    >>> import torch
    >>> states = torch.tensor([[[1.0, 2.0], [9.0, 9.0]]])
    >>> hidden(states, torch.zeros(1, 2, 2), torch.tensor([[1, 0]])).item()
    2.5

    Raises:
        ValueError: shapes that differ, or a mask for other positions.

    """
    if student.shape != teacher.shape:
        raise ValueError(f"found states of shape {tuple(student.shape)} and {tuple(teacher.shape)}, expected the same")
    squares = (student - teacher).square()
    if mask is None or squares.dim() != 3:  # one vector or one map for an item has no padding
        return squares.mean()
    return _mean_over_tokens(squares.mean(-1), mask)


def attention(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Squared error of attention maps (B, heads, L, L), mean over heads and pairs of tokens that aren't padding.

    (1 / heads) Σ_h MSE(student's map h, teacher's map h). Jiao et al., 'TinyBERT', https://arxiv.org/abs/1909.10351,
    which compares the scores before the softmax; here it is the shares after it, which transformers hand out.
    Shares are small where sequences are long, and so is this loss.

    One head, one token looking at two, (0.5, 0.5) and (1, 0) twice over: 0.25.

    >>> import torch
    >>> attention(torch.full((1, 1, 2, 2), 0.5), torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])).item()
    0.25

    Raises:
        ValueError: other shapes, an unequal number of heads, or a mask for other positions.

    """
    shapes = f"{tuple(student.shape)} and {tuple(teacher.shape)}"
    if student.dim() != 4 or teacher.dim() != 4:
        raise ValueError(f"found attention maps of shape {shapes}, expected (items, heads, tokens, tokens)")
    if student.shape[1] != teacher.shape[1]:
        raise ValueError(
            f"found {student.shape[1]} attention heads and the teacher's {teacher.shape[1]}, expected as many: heads "
            "correspond one by one; the loss 'relations' needs no equal number"
        )
    if student.shape != teacher.shape:
        raise ValueError(f"found attention maps of shape {shapes}, expected the same")
    squares = (student - teacher).square().mean(1)
    if mask is None:
        return squares.mean()
    _refuse_other_mask(squares, mask)
    tokens = mask != 0
    return _mean_over_tokens(squares.flatten(1), (tokens.unsqueeze(2) & tokens.unsqueeze(1)).flatten(1))


def relations(student: Tensor, teacher: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """Divergence of the relations among one layer's queries, keys or values; student (B, L, C), teacher (B, L, C').

    Both are cut into ``heads`` relation heads of d = C / heads dimensions. For each head, R = softmax(A Aᵀ / √d), and
    the loss is (1 / heads |x|) Σ_heads Σ_tokens KL(R teacher ‖ R student), over tokens that aren't padding. Neither
    widths nor attention heads need to be equal.
    Wang et al., 'MiniLMv2', https://arxiv.org/abs/2012.15828, which adds this up for queries, keys and values of one
    layer: name the three projections as three layers, whose mean is taken.

    Two tokens, one head. Teacher 1 and 0: token 1 softmax(1, 0) = (0.7311, 0.2689), token 2 (0.5, 0.5). A student of
    zeros has (0.5, 0.5) for both: (0.1109 + 0) / 2.

    >>> import torch
    >>> round(relations(torch.zeros(1, 2, 3), torch.tensor([[[1.0], [0.0]]]), heads=1).item(), 4)
    0.0555

    Raises:
        ValueError: not (items, tokens, dimensions), other tokens, or dimensions that can't be shared among the heads.

    """
    ours, theirs = (_log_relations(vectors, heads, mask) for vectors in (student, teacher))
    if ours.shape != theirs.shape:
        raise ValueError(
            f"found {tuple(student.shape[:2])} items and tokens and the teacher's {tuple(teacher.shape[:2])}, "
            "expected as many: relations are among the same tokens"
        )
    divergences = (theirs.exp() * (theirs - ours)).sum(-1).mean(1)
    return divergences.mean() if mask is None else _mean_over_tokens(divergences, mask)


def _log_relations(vectors: Tensor, heads: int, mask: Tensor | None) -> Tensor:
    """Logarithms of each token's shares among all tokens, (B, heads, L, L)."""
    if vectors.dim() != 3 or vectors.shape[2] % heads:
        raise ValueError(
            f"found vectors of shape {tuple(vectors.shape)}, expected (items, tokens, dimensions) with dimensions that "
            f"{heads} relation heads can share"
        )
    split = vectors.reshape(*vectors.shape[:2], heads, -1).transpose(1, 2)
    scores = split @ split.transpose(2, 3) / math.sqrt(split.shape[3])
    if mask is not None:
        _refuse_other_mask(vectors, mask)
        scores = scores.masked_fill(mask[:, None, None, :] == 0, PADDING_SCORE)
    return functional.log_softmax(scores, dim=-1)


def _mean_over_tokens(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of values (B, n) where the mask (B, n) isn't 0; 0 where it is 0 everywhere."""
    _refuse_other_mask(values, mask)
    counts = mask != 0
    return torch.where(counts, values, 0.0).sum() / counts.sum().clamp_min(1)


def _refuse_other_mask(values: Tensor, mask: Tensor) -> None:
    if values.shape[:2] != mask.shape:
        raise ValueError(
            f"found a mask of shape {tuple(mask.shape)}, expected {tuple(values.shape[:2])}: one value for each token"
        )

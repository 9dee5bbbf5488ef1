"""Losses between vectors: student (B, D) and teacher (B, D) or (B, D') in, one scalar out.

Vectors are compared at length 1 except in :func:`mse`. A vector of zeros has no direction: its cosine to anything is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

SHORTEST = 1e-8  # a vector that is shorter counts as zero, so that no gradient is divided by almost nothing


def unit(vectors: Tensor) -> Tensor:
    """Scale vectors (..., D) to length 1; those of no length stay zero, with a gradient that is finite and moderate.

    >>> import torch
    >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).round(decimals=4).tolist()
    [[0.6000..., 0.8000...], [0.0, 0.0]]
    """
    lengths = vectors.norm(dim=-1, keepdim=True)
    return vectors / torch.where(lengths > SHORTEST, lengths, 1.0)


def mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance to the teacher's vector, mean over rows and dimensions; both (B, D).

    (1 / BD) Σ_id (student_id - teacher_id)². Where both have length 1 this is 2 / D times :func:`cosine`.
    Reimers and Gurevych, 'Making Monolingual Sentence Embeddings Multilingual', https://arxiv.org/abs/2004.09813

    >>> import torch
    >>> mse(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]])).item()
    2.5

    Raises:
        ValueError: shapes that differ; they would be stretched to each other in silence.

    """
    _refuse_unequal(student, teacher)
    return functional.mse_loss(student, teacher)


def cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """One minus the cosine between student's and teacher's vector, mean over the batch; both (B, D).

    (1 / B) Σ_i (1 - student_i · teacher_i / (‖student_i‖ ‖teacher_i‖)).
    As in Zhang et al., 'Jasper and Stella', https://arxiv.org/abs/2412.19048

    (3, 4) and (1, 0): 1 - 3/5.

    >>> import torch
    >>> round(cosine(torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0]])).item(), 4)
    0.4

    Raises:
        ValueError: shapes that differ.

    """
    _refuse_unequal(student, teacher)
    return 1 - (unit(student) * unit(teacher)).sum(-1).mean()


def similarity_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared error of the cosines between the rows of a batch; student (B, D), teacher (B, D').

    (1 / B(B - 1)) Σ_{i≠j} (cos(student_i, student_j) - cos(teacher_i, teacher_j))². Rotations and other widths don't
    matter. The diagonal is left out: every row is like itself. One row gives 0.
    Tung and Mori, 'Similarity-Preserving Knowledge Distillation', https://arxiv.org/abs/1907.09682, which scales
    each row of the matrix instead; with cosines as here: Zhang et al., https://arxiv.org/abs/2412.19048

    The student's two rows at a right angle, the teacher's with a cosine of 0.6: 0.36.

    >>> import torch
    >>> round(similarity_mse(torch.eye(2), torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0]])).item(), 4)
    0.36
    """
    squares = (_similarities(student) - _similarities(teacher)).square()
    return squares.sum() / max(squares.numel(), 1)


def similarity_kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Divergence of each row's similarities to the other rows from the teacher's; student (B, D), teacher (B, D').

    (1 / B) Σ_i KL(p_i ‖ q_i), with p_i = softmax_{j≠i}(cos(teacher_i, teacher_j) / T) and q_i the same of the student.
    A low temperature looks at the nearest rows. It isn't multiplied by T²: T sharpens here, and T² would hide the term.
    Passalis and Tefas, 'Probabilistic Knowledge Transfer', https://arxiv.org/abs/1803.10837, which turns cosines
    into shares without a softmax; with one, over a memory bank: Abbasi Koohpayegani et al., 'CompRess',
    https://arxiv.org/abs/2010.14713

    Two rows or fewer give 0: there is at most one other row, whose share is 1.

    Three rows of which the teacher finds the first two alike (cosine 1) and the third at a right angle, and a student
    that finds all at right angles, T = 1: rows 1 and 2 KL((0.7311, 0.2689) ‖ (0.5, 0.5)) = 0.1109, row 3 0;
    mean 0.0740.

    >>> import torch
    >>> teacher = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> round(similarity_kl(torch.eye(3), teacher, 1.0).item(), 4)
    0.074
    """
    ours, theirs = (
        functional.log_softmax(_similarities(vectors) / temperature, dim=1) for vectors in (student, teacher)
    )
    return functional.kl_div(ours, theirs, reduction="sum", log_target=True) / max(len(student), 1)


def neighbours(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Contrast each row's nearest other row, as the teacher sees it, with the rest; student (B, D), teacher (B, D').

    With n(i) the row j≠i of the batch whose cosine to row i is the highest for the teacher (the first of equals),
    -(1 / B) Σ_i log softmax_{j≠i}(cos(student_i, student_j) / T) at j = n(i).
    InfoNCE: van den Oord et al., https://arxiv.org/abs/1807.03748, with the teacher's neighbours as positives, so
    without labels. It isn't 0 where student and teacher are equal. Two rows or fewer give 0.

    Four rows of which the teacher finds 1 and 2 alike, and 3 and 4; a student at right angles, any T: ln 3.

    >>> import torch
    >>> teacher = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    >>> round(neighbours(torch.eye(4), teacher, 0.05).item(), 4)
    1.0986
    """
    ours = _similarities(student) / temperature
    if not ours.numel():
        return ours.sum()
    return functional.cross_entropy(ours, _similarities(teacher).argmax(1))


def contrastive(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Make each student vector pick its own teacher vector among the batch's, and the other way round; both (B, D).

    With S_ij = cos(student_i, teacher_j) / T:
    -(1 / 2B) Σ_i (log softmax_j(S_ij) + log softmax_j(S_ji)) at j = i.
    InfoNCE (van den Oord et al., https://arxiv.org/abs/1807.03748) for the pairs of CRD: Tian et al., 'Contrastive
    Representation Distillation', https://arxiv.org/abs/1910.10699. CRD draws thousands of negatives from a memory
    bank with a vector for each row of the data, of other classes where there are labels, tells pairs apart one by one
    (NCE), and projects both sides. Here the negatives are the other rows of the batch: nothing grows with the data,
    and small batches make it easy. Where widths differ, :class:`~edgekd.algorithms.losses.terms.Terms` projects the
    student to the teacher's. One row gives 0.

    Equal pairs at right angles, T = 1: ln(1 + 1/e).

    >>> import torch
    >>> round(contrastive(torch.eye(2), torch.eye(2), 1.0).item(), 4)
    0.3133

    Raises:
        ValueError: shapes that differ.

    """
    _refuse_unequal(student, teacher)
    scores = unit(student) @ unit(teacher).T / temperature
    own = torch.arange(len(scores), device=scores.device)
    return (functional.cross_entropy(scores, own) + functional.cross_entropy(scores.T, own)) / 2


def matryoshka(
    loss: Callable[[Tensor, Tensor], Tensor],
    student: Tensor,
    teacher: Tensor,
    widths: Sequence[int],
    *,
    cut_teacher: bool,
) -> Tensor:
    """Mean of ``loss`` over vectors cut to their first ``widths`` dimensions and scaled back to length 1.

    (1 / |widths|) Σ_w loss(unit(student[:, :w]), unit(teacher[:, :w])), so that vectors are good at every width.
    ``cut_teacher`` is for losses that compare coordinates; similarities are compared with the whole teacher's.
    Kusupati et al., 'Matryoshka Representation Learning', https://arxiv.org/abs/2205.13147

    (3, 4) and (1, 0) by :func:`cosine`: 0 at width 1 and 0.4 at width 2.

    >>> import torch
    >>> pair = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0]])
    >>> round(matryoshka(cosine, *pair, (1, 2), cut_teacher=True).item(), 4)
    0.2

    Raises:
        ValueError: no width, one below 1, or one beyond the dimensions that there are.

    """
    most = min(student.shape[1], teacher.shape[1]) if cut_teacher else student.shape[1]
    if not widths or min(widths) < 1 or max(widths) > most:
        raise ValueError(f"found the widths {tuple(widths)}, expected one or more from 1 to {most}")
    terms = [loss(unit(student[:, :width]), unit(teacher[:, :width] if cut_teacher else teacher)) for width in widths]
    return torch.stack(terms).mean()


def _similarities(vectors: Tensor) -> Tensor:
    """Cosines (B, B - 1) of each row to the other rows, in the same order in every row's case."""
    directions = unit(vectors)
    cosines = directions @ directions.T
    others = ~torch.eye(len(cosines), dtype=torch.bool, device=cosines.device)
    return cosines[others].view(len(cosines), len(cosines) - 1)


def _refuse_unequal(student: Tensor, teacher: Tensor) -> None:
    if student.shape != teacher.shape:
        raise ValueError(f"found vectors of shape {tuple(student.shape)} and {tuple(teacher.shape)}, expected the same")

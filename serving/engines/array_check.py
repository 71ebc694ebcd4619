"""Checks arrays whose sizes compiled code trusts: sparse arrays, support vectors and cluster centres."""

from typing import Any

import numpy as np
from scipy.sparse import issparse

from serving.engines.errors import MalformedArtifactError
from serving.engines.model_parts import parts_of


def check_arrays(model: object) -> None:
    """Check the arrays that a loaded model holds.

    Raises:
        MalformedArtifactError: following one would lead outside it.
    """
    for owner, part in parts_of(model):
        held = getattr(part, "__dict__", {})
        if issparse(part):
            _check_sparse(part)
        elif "_dual_coef_" in held:
            _check_support_vectors(part)
        elif "cluster_centers_" in held and hasattr(part, "n_features_in_"):
            _check_centre(np.asarray(part.cluster_centers_), columns=part.n_features_in_)
        elif type(part).__name__ == "_BisectingTree":
            _check_centre(np.asarray(part.center), columns=getattr(owner, "n_features_in_", -1))


def _check_sparse(array: Any) -> None:  # noqa: ANN401 - scipy has no annotations
    try:
        array.check_format(full_check=True)
    except (AttributeError, ValueError, TypeError) as error:
        raise MalformedArtifactError(f"a sparse array points outside itself: {error}") from error


def _check_support_vectors(machine: Any) -> None:  # noqa: ANN401 - whatever estimator the file holds
    classes = max(2, len(getattr(machine, "classes_", ())))
    pairs = classes * (classes - 1) // 2
    vectors = len(machine.support_)
    fits = (
        machine._dual_coef_.shape == (classes - 1, vectors)
        and np.shape(machine._intercept_) == (pairs,)
        and np.sum(machine.n_support_) == vectors
        and all(len(each) in {0, pairs} for each in (machine._probA, machine._probB))  # noqa: SLF001 - the same
    )
    if not fits:
        raise MalformedArtifactError("a support vector machine has arrays that do not fit together")


def _check_centre(centre: Any, *, columns: int) -> None:  # noqa: ANN401 - an array
    if centre.shape[-1:] != (columns,):
        raise MalformedArtifactError(f"a cluster centre does not have {columns} values, as rows do")

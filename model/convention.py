"""Conventions of annotation: an answer as the annotators of one benchmark would have named the face.

Two sets of labels of the same pictures differ in habit, not only in noise: FER2013's first labels and the votes of FER+
agree on two thirds of the faces. A convention is a fixed map of the answered probabilities, fitted on held-out faces.
"""

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from model.schema import EXPRESSIONS

Array = npt.NDArray[np.float64]

_CLASSES = len(EXPRESSIONS)
# Smallest probability whose logarithm is taken: float32 answers may hold exact zeros.
_TINY = 1e-12

_Row = Annotated[
    tuple[Annotated[float, Field(allow_inf_nan=False)], ...], Field(min_length=_CLASSES, max_length=_CLASSES)
]


class Convention(BaseModel):
    """`softmax(weight log p + bias)` of probabilities p: matrix scaling (Guo et al. 2017, arXiv:1706.04599).

    `speaks` tells what it was fitted to: the one label of each face, or the shares of its votes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    speaks: Literal["labels", "votes"]
    weight: Annotated[tuple[_Row, ...], Field(min_length=_CLASSES, max_length=_CLASSES)]
    bias: _Row

    def translate(self, probabilities_NE: Array) -> Array:
        """Probabilities (N, E) as answered -> probabilities (N, E) in this convention."""
        logits_NE = log_probabilities(probabilities_NE) @ np.array(self.weight).T + np.array(self.bias)
        # Written out, since an endpoint has no scipy.
        shares_NE = np.exp(logits_NE - logits_NE.max(axis=1, keepdims=True))
        return np.asarray(shares_NE / shares_NE.sum(axis=1, keepdims=True))


def log_probabilities(probabilities_NE: Array) -> Array:
    """Logarithms, of exact zeros too."""
    return np.asarray(np.log(np.maximum(np.asarray(probabilities_NE, float), _TINY)))

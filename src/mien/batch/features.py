"""Pictures to features of their largest face, as a transformer of scikit-learn.

Legend: N pictures, D features.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.errors import ConfigError, MienError, MissingExtra
from mien.types import FACE_COLUMNS

if TYPE_CHECKING:
    from mien.image import ImageSource

try:
    from sklearn.base import BaseEstimator, TransformerMixin
except ModuleNotFoundError as error:
    raise MissingExtra("scikit-learn", "sklearn", "a transformer of scikit-learn") from error

#: What can be asked for: the attributes of a face that are numbers.
FEATURES: Final = tuple(name for name, (kind, _) in FACE_COLUMNS.items() if kind == "float32")


class FaceFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Turns pictures into a table of numbers about their largest faces; nothing is learnt.

        make_pipeline(FaceFeatures(), SimpleImputer(), LogisticRegression()).fit(pictures, labels)

    A picture without a face is a row of NaN; one that cannot be read ends `transform`, unless `skip` is true.

    Args:
        features: which of `FEATURES`, in the order of the columns.
        model: as `mien.load` takes it.
        crops: the pictures already are faces.
        skip: a picture that cannot be read is a row of NaN, too.
    """

    def __init__(
        self,
        features: Sequence[str] = ("probabilities", "movements"),
        model: str | Path | None = None,
        *,
        crops: bool = False,
        skip: bool = False,
    ) -> None:
        self.features = features
        self.model = model
        self.crops = crops
        self.skip = skip

    def fit(self, pictures: Any = None, labels: Any = None) -> FaceFeatures:  # noqa: ARG002  scikit-learn's
        """Check the options; pictures and labels are not looked at.

        Raises:
            ConfigError: no such features.
        """
        if not self.features or (unknown := set(self.features) - set(FEATURES)):
            got = ", ".join(sorted(unknown)) if self.features else "none"
            raise ConfigError(f"features: expected some of {', '.join(FEATURES)}, got {got}")
        return self

    def transform(self, pictures: Iterable[ImageSource]) -> NDArray[np.float32]:
        """(N, D) features of pictures as `Analyzer.image` takes them.

        Raises:
            ConfigError: no such features.
            MienError: a picture cannot be read, and `skip` is false.
        """
        from mien.analyzer import load

        names = self.fit().get_feature_names_out()
        frames = load(self.model, crops=self.crops).images(pictures)
        for place, frame in enumerate(frames):
            if frame.error and not self.skip:
                raise MienError(f"picture {place} ({frame.source}): {frame.error}")
        rows = [
            frame.faces[0].to_row() if frame.faces else {} for frame in frames
        ]  # the largest face is first
        table = [[np.nan if row.get(name) is None else row[name] for name in names] for row in rows]
        return np.array(table, np.float32).reshape(len(rows), len(names))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:  # noqa: ARG002
        """(D,) the names of the columns, as tables have them."""
        return np.array([column for name in self.features for column in FACE_COLUMNS[name][1]], object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True  # pictures, of any number and kind
        tags.input_tags.two_d_array = False
        return tags

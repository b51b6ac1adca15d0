"""The transformer of scikit-learn: what the analyzer gives, and what scikit-learn asks of a step."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import mien
from mien.errors import ConfigError, MienError
from mien.units import ACTION_UNITS


def test_a_row_has_what_the_analyzer_says_of_the_largest_face(one_face):
    from mien.batch.features import FEATURES, FaceFeatures

    face = mien.load().image(one_face).faces[0]
    empty = np.zeros((64, 64, 3), np.uint8)
    rows = FaceFeatures().fit_transform([one_face, empty])
    assert rows.dtype == np.float32
    assert np.array_equal(rows[0], np.concatenate([face.probabilities, face.movements]))
    assert np.isnan(rows[1]).all()
    table = FaceFeatures(["pose", "action_units"]).set_output(transform="pandas").fit_transform([one_face])
    assert list(table) == ["yaw", "pitch", "roll", *ACTION_UNITS]
    assert table["yaw"][0] == np.float32(face.yaw)
    assert FaceFeatures(FEATURES).fit_transform([]).shape == (
        0,
        len(FaceFeatures(FEATURES).get_feature_names_out()),
    )


def test_it_is_a_step_of_a_pipeline_that_can_be_cloned_and_kept(one_face):
    from sklearn.base import clone
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from mien.batch.features import FaceFeatures

    empty = np.zeros((64, 64, 3), np.uint8)
    line = make_pipeline(
        FaceFeatures(["probabilities"]), SimpleImputer(strategy="constant"), LogisticRegression()
    )
    line = pickle.loads(pickle.dumps(clone(line).fit([one_face, empty], ["face", "none"])))  # noqa: S301
    assert line.predict([empty, one_face]).tolist() == ["none", "face"]


@pytest.mark.parametrize(
    "check",
    ["no_attributes_set_in_init", "parameters_default_constructible", "get_params_invariance", "set_params",
     "estimator_repr", "estimator_cloneable", "valid_tag_types", "mixin_order"],
)  # fmt: skip
def test_what_scikit_learn_asks_of_any_estimator(check):
    from sklearn.utils import estimator_checks

    from mien.batch.features import FaceFeatures

    getattr(estimator_checks, f"check_{check}")("FaceFeatures", FaceFeatures())


def test_what_cannot_be_is_told(tmp_path, one_face):
    from mien.batch.features import FaceFeatures

    with pytest.raises(ConfigError, match=r"expected some of box, .*, got smile"):
        FaceFeatures(["smile"]).fit()
    with pytest.raises(ConfigError, match="got none"):
        FaceFeatures([]).transform([one_face])
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    with pytest.raises(MienError, match=r"picture 1 .*bad\.jpg"):
        FaceFeatures().transform([one_face, bad])
    assert np.isnan(FaceFeatures(skip=True).transform([one_face, bad])).all(axis=1).tolist() == [False, True]

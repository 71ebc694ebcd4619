"""The demo's models: three classifiers of handwritten digits, one of them with a preprocessing slip."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

PIXELS = 64
BRIGHTEST = 16.0
VALIDATION_IMAGES = 200
SIGNATURE = {
    "inputs": [{"name": "pixels", "datatype": "FP64", "shape": [-1, PIXELS]}],
    "outputs": [{"name": "label", "datatype": "INT64", "shape": [-1]}],
}


class Digits(msgspec.Struct, frozen=True, kw_only=True):
    """The handwritten digits that scikit-learn ships: one half trains, 200 validate, the rest is live traffic.

    `*_images` are float64 of shape (n, 64), 0 to 16; `*_labels` int64 of shape (n,).
    """

    train_images: NDArray[np.float64]
    train_labels: NDArray[np.int64]
    validation_images: NDArray[np.float64]
    validation_labels: NDArray[np.int64]
    live_images: NDArray[np.float64]
    live_labels: NDArray[np.int64]


class TrainedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A fitted classifier, with what a person calls it and its accuracy on the validation images."""

    title: str
    classifier: Any
    offline_accuracy: float


def read_digits() -> Digits:
    """Split the data set by order: later images come from other writers, as live traffic would."""
    images, labels = _shipped_digits()
    train = slice(0, len(images) // 2)
    validation = slice(train.stop, train.stop + VALIDATION_IMAGES)
    live = slice(validation.stop, None)
    return Digits(
        train_images=images[train],
        train_labels=labels[train],
        validation_images=images[validation],
        validation_labels=labels[validation],
        live_images=images[live],
        live_labels=labels[live],
    )


def _shipped_digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    # The load process wants nothing else of scikit-learn, and to import it takes seconds.
    package = find_spec("sklearn")
    assert package is not None
    assert package.submodule_search_locations is not None
    rows = np.loadtxt(Path(package.submodule_search_locations[0], "datasets/data/digits.csv.gz"), delimiter=",")
    return rows[:, :-1], rows[:, -1].astype(np.int64)


def train_versions(digits: Digits) -> tuple[TrainedVersion, TrainedVersion, TrainedVersion]:
    """Fit the baseline, the better version, and the better version shipped without its scaling step."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - seconds, for those who train alone
    from sklearn.naive_bayes import GaussianNB  # noqa: PLC0415 - the same
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415 - the same
    from sklearn.preprocessing import MinMaxScaler  # noqa: PLC0415 - the same

    images, labels = digits.train_images, digits.train_labels
    scaler = MinMaxScaler().fit(np.vstack([np.zeros(PIXELS), np.full(PIXELS, BRIGHTEST)]))
    regression = LogisticRegression(max_iter=1000).fit(scaler.transform(images), labels)
    fitted = (
        ("naive Bayes", GaussianNB().fit(images, labels)),
        ("logistic regression", make_pipeline(scaler, regression)),
        ("logistic regression, pixels not scaled", regression),
    )
    baseline, better, slipped = (
        TrainedVersion(
            title=title,
            classifier=model,
            offline_accuracy=float(model.score(digits.validation_images, digits.validation_labels)),
        )
        for title, model in fitted
    )
    return baseline, better, slipped


def save_version(version: TrainedVersion, path: Path) -> Path:
    """Write the classifier as a skops file."""
    from skops import io as skops_io  # noqa: PLC0415 - imports scikit-learn

    skops_io.dump(version.classifier, path)
    return path


def golden_example(version: TrainedVersion, image: NDArray[np.float64]) -> dict[str, Any]:
    """Return one input, and the label that a correct instance of the version answers to it."""
    label = int(version.classifier.predict(image.reshape(1, PIXELS))[0])
    tensor = {"name": "pixels", "datatype": "FP64", "shape": [1, PIXELS], "data": image.tolist()}
    return {"inputs": [tensor], "outputs": {"label": [label]}}

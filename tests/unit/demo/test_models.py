import subprocess
import sys

import numpy as np
from sklearn.datasets import load_digits

from rollbook_demo.models import read_digits


def test_the_digits_are_those_that_scikit_learn_ships() -> None:
    images, labels = load_digits(return_X_y=True)

    read = read_digits()

    assert np.array_equal(np.vstack([read.train_images, read.validation_images, read.live_images]), images)
    assert np.array_equal(np.hstack([read.train_labels, read.validation_labels, read.live_labels]), labels)


def test_the_load_process_does_not_import_scikit_learn() -> None:
    program = "import sys, rollbook_demo.load as load; load.read_digits(); sys.exit('sklearn' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

"""The directions in which wide rows are projected. Summaries of every release are compared, so they never change."""

import hashlib

import numpy as np

from projections.feature_summaries.vectors import signs_of, stand_ins

SIGNS = "0218a11ea3ff0a63b86bdd67090046db4dec8b248dc669d7063122fe0713d901"
OF_A_RAMP = [
    "0x1.d41d41d41d460p-3",
    "0x1.e2be2be2be2c3p+0",
    "-0x1.f333333333335p+3",
    "0x1.cea0ea0ea0ea2p+2",
    "-0x1.ba83a83a83a80p+1",
    "-0x1.76db6db6db6dap+3",
    "0x1.03a83a83a83acp+1",
    "-0x1.60ea0ea0ea0ebp+2",
    "0x1.f6db6db6db6ddp+2",
    "0x1.b249249249248p+3",
    "0x1.1f15f15f15f16p+2",
    "0x1.0750750750753p-2",
    "0x1.492492492492cp+0",
    "0x1.f507507507508p+3",
    "-0x1.41d41d41d41d3p+0",
    "-0x1.a0ea0ea0ea0eap+1",
    "0x1.477065164625ep+6",
    "0x1.c492492492492p+2",
]


def test_directions_are_those_of_every_release() -> None:
    written = signs_of(4_096).astype(np.int8).tobytes()

    assert hashlib.sha256(written).hexdigest() == SIGNS


def test_projections_are_the_same_to_the_bit() -> None:
    found = stand_ins(np.arange(100.0)[None, :] / 7)[0]

    assert [number.hex() for number in found] == OF_A_RAMP

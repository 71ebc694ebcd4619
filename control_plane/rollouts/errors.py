"""Why a command on a rollout is not carried out."""

from control_plane.errors import Invalid, Refused, Unknown


class RolloutNotFoundError(Unknown):
    """No rollout has this id."""

    code = "rollout-not-found"


class InvalidRolloutError(Invalid):
    """A parameter of the strategy, a gate or the rollout is not valid."""

    code = "invalid-rollout"


class InvalidMeasurementError(Invalid):
    """The measurement lacks the counts of a gate, or has impossible counts."""

    code = "invalid-measurement"


class VersionAlreadyLiveError(Refused):
    """The candidate's version already serves the endpoint."""

    code = "version-already-live"


class NoBaselineError(Refused):
    """No single deployment serves all of the endpoint, so there is nothing to compare with or return to."""

    code = "no-baseline"


class BaselineNotReadyError(Refused):
    """The deployment that serves the endpoint has no ready instance."""

    code = "baseline-not-ready"


class SignatureChangedError(Refused):
    """The candidate refuses requests that the baseline accepts."""

    code = "signature-changed"


class RolloutActiveError(Refused):
    """Another rollout owns the endpoint."""

    code = "rollout-active"


class WrongPhaseError(Refused):
    """The rollout's phase does not allow the command."""

    code = "wrong-rollout-phase"


class RolloutFinishedError(Refused):
    """The rollout is over."""

    code = "rollout-finished"

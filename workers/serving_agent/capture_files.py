"""Passes capture policies to running engines: one file per endpoint, which its engines follow."""

from collections.abc import Mapping

import msgspec
import structlog

from serving.capture.policy_file import PolicyInForce, write_policy
from workers.serving_agent.digest_keys import DigestKeys
from workers.serving_agent.errors import CaptureNotHandedOverError
from workers.serving_agent.settings import AgentSettings

_log = structlog.get_logger(__name__)


class CaptureFiles:
    """Used from one event loop; nothing else writes these files, and only their owner can read them."""

    def __init__(self, settings: AgentSettings, keys: DigestKeys) -> None:
        self._settings = settings
        self._keys = keys
        self._written: dict[str, PolicyInForce] = {}

    def hand_over(self, captures: Mapping[str, PolicyInForce]) -> None:
        """Write the policies that have changed since they were last written.

        Raises:
            CaptureNotHandedOverError: one cannot be written; its engines continue under the previous policy.
        """
        for endpoint_id, in_force in captures.items():
            if self._written.get(endpoint_id) == in_force:
                continue
            try:
                path = self._settings.capture_file_of(endpoint_id, workspace=in_force.workspace)
                path.parent.mkdir(parents=True, exist_ok=True)
                key = self._keys.of(in_force.workspace)
                write_policy(path, msgspec.structs.replace(in_force, hash_key=key))
            except OSError as error:
                raise CaptureNotHandedOverError(f"{endpoint_id}: {error.strerror or error}") from error
            self._written[endpoint_id] = in_force
            _log.info("capture_policy_handed_over", endpoint_id=endpoint_id, version=in_force.version)

"""The kinds of documents on `serving.state.v1`, each with the struct of its JSON."""

from collections.abc import Mapping

import msgspec

from schemas.documents import access, endpoints, models, monitors, rollouts
from schemas.documents.contents import CONTENTS

DOCUMENTS: Mapping[str, type[msgspec.Struct]] = {
    "endpoint": endpoints.Endpoint,
    "instance": endpoints.Instance,
    "keyring": access.Keyring,
    "model": models.Model,
    "monitor": monitors.Monitor,
    "principal": access.Principal,
    "rollout": rollouts.Rollout,
    **CONTENTS,
}

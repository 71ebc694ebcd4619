"""Folds what the log and the control plane say about inference tokens. Pure: no clock, no I/O."""

from datetime import datetime

import msgspec

from schemas.envelope import Envelope
from schemas.events import access
from serving.gateway.routing_state import RevokedPrincipal, TokenRules


def folded(rules: TokenRules, event: msgspec.Struct, envelope: Envelope) -> TokenRules:
    """Return the rules after an event; an event that is not about tokens changes nothing."""
    replace = msgspec.structs.replace
    version = envelope.streamversion
    match event:
        case access.PrincipalErased():
            subject = str(envelope.stream)
            erased = tuple(sorted({*rules.erased_subjects, subject}))
            revoked = tuple(sorted({*rules.revoked_subjects, subject}))
            return replace(rules, erased_subjects=erased, revoked_subjects=revoked)
        case access.SigningKeyRotated():
            good = (key for key in event.keys if key.valid_until is None or key.valid_until > envelope.time)
            return replace(rules, version=version, keys=tuple(_jwk(key) for key in good))
        case access.InferenceTokenRevoked():
            tokens = tuple(dict.fromkeys((*rules.revoked_tokens, event.token_id)))
            return replace(rules, version=version, revoked_tokens=tokens)
        case access.InferenceTokensRevoked():
            others = (one for one in rules.revoked_principals if one.principal_id != event.principal_id)
            before_s = int(datetime.fromisoformat(event.issued_before).timestamp())
            mine = RevokedPrincipal(principal_id=event.principal_id, issued_before_s=before_s)
            return replace(rules, version=version, revoked_principals=(*others, mine))
        case _:
            return rules


def renewed(rules: TokenRules, answer: TokenRules) -> TokenRules:
    """Return the rules after an answer of the control plane, which may be older than the log.

    Erased principals stay rejected. Keys and revocations that have ended are no longer in an answer, and are dropped.
    """
    revoked = tuple(sorted({*rules.erased_subjects, *answer.revoked_subjects}))
    newer = rules if answer.version < rules.version else answer
    return msgspec.structs.replace(newer, revoked_subjects=revoked, erased_subjects=rules.erased_subjects)


def _jwk(key: access.SigningKey) -> dict[str, str]:
    return {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": key.key_id, "x": key.x}

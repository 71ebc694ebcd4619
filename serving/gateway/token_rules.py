"""What documents and the control plane say about inference tokens. Pure: no clock, no I/O."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from schemas.documents.access import Keyring
from schemas.events import access
from serving.gateway.routing_state import RevokedPrincipal, TokenRules


def with_keyring(rules: TokenRules, keyring: Keyring) -> TokenRules:
    """Return the rules after a keyring's document, unless an answer of the control plane was newer."""
    if keyring.stream_version < rules.version:
        return rules
    return msgspec.structs.replace(
        rules,
        version=keyring.stream_version,
        keys=tuple(map(_jwk, keyring.keys)) or rules.keys,
        revoked_tokens=tuple(each.token_id for each in keyring.tokens),
        revoked_principals=tuple(
            RevokedPrincipal(principal_id=each.principal_id, issued_before_s=_unix_s(each.issued_before))
            for each in keyring.principals
        ),
    )


def with_subject(rules: TokenRules, subject: str) -> TokenRules:
    """Return the rules after the document of a principal that can no longer act."""
    return _knowing(rules, {*rules.known_subjects, subject}, revoked={*rules.revoked_subjects, subject})


def without_subject(rules: TokenRules, subject: str) -> TokenRules:
    """Return the rules after a principal's document was removed, as it can act again."""
    return _knowing(rules, set(rules.known_subjects) - {subject}, revoked=set(rules.revoked_subjects) - {subject})


def renewed(rules: TokenRules, answer: TokenRules) -> TokenRules:
    """Return the rules after an answer of the control plane, which can be older than the documents.

    A principal that a document names stays refused. Keys and revocations that have ended are no longer in an answer,
    and are dropped.
    """
    newer = rules if answer.version < rules.version else answer
    return _knowing(newer, rules.known_subjects, revoked={*rules.known_subjects, *answer.revoked_subjects})


def _knowing(rules: TokenRules, known: Iterable[str], *, revoked: Iterable[str]) -> TokenRules:
    return msgspec.structs.replace(rules, known_subjects=tuple(sorted(known)), revoked_subjects=tuple(sorted(revoked)))


def _unix_s(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp())


def _jwk(key: access.SigningKey) -> dict[str, str]:
    return {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": key.key_id, "x": key.x}

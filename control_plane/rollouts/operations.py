"""The operations on rollouts, and the rollback of an endpoint."""

from functools import partial

import msgspec

from control_plane.endpoints import errors as endpoint_errors
from control_plane.endpoints.resources import EndpointResource
from control_plane.ports import EventStore
from control_plane.rollouts import commands, errors, handlers, requests
from control_plane.rollouts.queries import get_rollout, list_rollouts
from control_plane.rollouts.resources import JudgedResource
from control_plane.web.listing import Page, Paging, page
from infra.operations import (
    JUDGE,
    OPERATORS,
    READERS,
    SERVICES,
    Caller,
    Command,
    CommandList,
    Content,
    Operation,
    Operations,
    Question,
)
from schemas.documents.rollouts import Rollout
from schemas.events.rollouts import Measurement
from schemas.measurement import ReportMeasurements
from schemas.results import Results

_CREATED = 201
_KNOWN = (errors.RolloutNotFoundError, endpoint_errors.StaleVersionError)
_DECIDING = (*_KNOWN, errors.WrongPhaseError, errors.RolloutFinishedError)


class FindRollouts(Paging, frozen=True, kw_only=True):
    """Those of one endpoint, and those that have not ended."""

    endpoint: str | None = None
    active: bool = False


def operations(store: EventStore) -> Operations:
    """Declare them."""
    return Operations("rollouts", [*_questions(store), *_operator_commands(), *_commands_by_hand(), *_judge_commands()])


def find_rollouts(store: EventStore, caller: Caller, asked: FindRollouts) -> Page[Rollout]:
    """Return a page of rollouts."""
    items = list_rollouts(
        store.catalogue(),
        workspace=caller.workspace,
        endpoint=asked.endpoint,
        only_active=asked.active,
        after=asked.cursor,
        limit=asked.size,
    )
    return page(items, asked)


def show_rollout(store: EventStore, caller: Caller, rollout_id: str) -> Content:
    """Return one rollout."""
    found = get_rollout(store.catalogue(), rollout_id, workspace=caller.workspace)
    return Content(body=msgspec.json.encode(found), version=found.stream_version)


def _questions(store: EventStore) -> list[Operation]:
    return [
        Question(
            method="GET",
            path="/v1/rollouts",
            handler=partial(find_rollouts, store),
            sdk="rollouts.list",
            asks=FindRollouts,
            answers=Page[Rollout],
            roles=READERS,
            summary="List the rollouts, oldest first",
            errors=(endpoint_errors.EndpointNotFoundError,),
        ),
        Question(
            method="GET",
            path="/v1/rollouts/{rollout_id}",
            handler=partial(show_rollout, store),
            sdk="rollouts.get",
            answers=Rollout,
            is_tagged=True,
            roles=READERS,
            summary="Get a rollout: its phase, its step and the last verdicts",
            errors=(errors.RolloutNotFoundError,),
        ),
    ]


def _operator_commands() -> list[Operation]:
    return [
        Command(
            method="POST",
            path="/v1/rollouts",
            handler=handlers.start_rollout,
            sdk="rollouts.start",
            asks=commands.StartRollout,
            answers=Rollout,
            status=_CREATED,
            roles=OPERATORS,
            summary="Start a rollout of a version, in steps guarded by gates",
            errors=(
                endpoint_errors.EndpointNotFoundError,
                endpoint_errors.StaleVersionError,
                endpoint_errors.VersionNotFoundError,
                endpoint_errors.InvalidReplicasError,
                endpoint_errors.ParentNotDeployedError,
                errors.InvalidRolloutError,
                errors.VersionAlreadyLiveError,
                errors.NoBaselineError,
                errors.BaselineNotReadyError,
                errors.SignatureChangedError,
                errors.RolloutActiveError,
            ),
        ),
        Command(
            method="POST",
            path="/v1/endpoints/{endpoint}/rollback",
            handler=handlers.rollback_endpoint,
            sdk="endpoints.rollback",
            asks=requests.RollbackRequest,
            answers=EndpointResource,
            roles=OPERATORS,
            summary="Restore an earlier traffic split",
            errors=(
                endpoint_errors.EndpointNotFoundError,
                endpoint_errors.StaleVersionError,
                endpoint_errors.EarlierTrafficGoneError,
                endpoint_errors.DeploymentNotReadyError,
            ),
        ),
    ]


def _commands_by_hand() -> list[Operation]:
    return [
        _by_hand("pause", commands.PauseRollout, "Pause a rollout at its current weights"),
        _by_hand("resume", commands.ResumeRollout, "Resume a paused rollout"),
        _by_hand("promote", commands.PromoteRollout, "Promote the candidate to all traffic now, or end a held bake"),
        _by_hand("abort", commands.AbortRollout, "Abort a rollout and return all traffic to the baseline"),
    ]


def _by_hand(verb: str, command: type[msgspec.Struct], summary: str) -> Operation:
    return Command(
        method="POST",
        path=f"/v1/rollouts/{{rollout_id}}/{verb}",
        name=f"{verb}_rollout",
        handler=handlers.command_rollout,
        sdk=f"rollouts.{verb}",
        asks=command,
        answers=Rollout,
        roles=OPERATORS,
        summary=summary,
        errors=_DECIDING,
    )


def _judge_commands() -> list[Operation]:
    return [
        Command(
            method="POST",
            path="/v1/rollouts/{rollout_id}/warm-up",
            name="report_warm_up",
            handler=handlers.command_rollout,
            asks=commands.ReportWarmUp,
            answers=Rollout,
            roles=SERVICES,
            duties=JUDGE,
            is_for_installation=True,
            summary="Report how far the candidate has warmed up",
            errors=_DECIDING,
        ),
        Command(
            method="POST",
            path="/v1/rollouts/{rollout_id}/measurements",
            handler=handlers.report_measurement,
            asks=Measurement,
            answers=JudgedResource,
            roles=SERVICES,
            duties=JUDGE,
            is_for_installation=True,
            summary="Report a measurement and get the verdicts",
            errors=(*_DECIDING, errors.InvalidMeasurementError),
        ),
        CommandList(
            method="POST",
            path="/v1/rollouts/measurements",
            handler=handlers.report_measured_rollout,
            name="report_measurements",
            asks=ReportMeasurements,
            answers=Results[JudgedResource],
            roles=SERVICES,
            duties=JUDGE,
            is_for_installation=True,
            summary="Report measurements of up to 500 rollouts; one that is refused does not fail the others",
            item_errors=(*_DECIDING, errors.InvalidMeasurementError),
        ),
    ]

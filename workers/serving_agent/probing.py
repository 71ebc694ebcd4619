"""Sends a running instance its golden input, as before it was announced."""

import asyncio

from infra.clock import Clock
from workers.serving_agent.desired import Deployment
from workers.serving_agent.engine_client import EngineClient
from workers.serving_agent.errors import EngineBusyError, EngineFaultError, NeverServesError, PartAwayError
from workers.serving_agent.health import Busy, Outcome, Right, Silent, Unsure, Wrong

_MAX_DELAY_S = 1.0


async def probe(client: EngineClient, deployment: Deployment, *, timeout_s: float, clock: Clock) -> Outcome:
    """Return the outcome of the golden input or, without one, whether the instance answers at all."""
    began = clock.monotonic()
    outcome = await _asked(client, deployment, timeout_s=timeout_s)
    took_s = clock.monotonic() - began
    if isinstance(outcome, Right):
        return Right(took_s)
    if isinstance(outcome, Silent) and took_s > timeout_s + _MAX_DELAY_S:
        # The timeout itself fired late, so this process did not get to run; that is not the engine's fault.
        return Unsure()
    return outcome


async def _asked(client: EngineClient, deployment: Deployment, *, timeout_s: float) -> Outcome:
    try:
        async with asyncio.timeout(timeout_s):
            if deployment.golden is not None:
                await client.check_golden(deployment.endpoint, deployment.golden)
            elif not await client.is_live():
                return Silent("the engine does not answer")
    except TimeoutError:
        return Silent(f"no answer within {timeout_s:g} s")
    except EngineBusyError:
        return Busy()
    except PartAwayError as error:
        return Silent(str(error))
    except NeverServesError as error:
        return Wrong(error.reason, is_fault=isinstance(error, EngineFaultError))
    return Right(0.0)

"""Places are for requests in progress: who waits gives way, and no batch has more than its share."""

import asyncio

from tests.support.virtual_time import in_virtual_time
from workers.batch_server.places import Place, Places, Share
from workers.batch_server.stop import Stop


async def placed(share: Share, stop: Stop) -> Place:
    place = await asyncio.wait_for(share.place(stop), timeout=60)
    assert place
    return place


@in_virtual_time
async def test_a_request_that_waits_gives_its_place_to_another_batch() -> None:
    places, stop = Places(1), Stop()
    with places.share() as one, places.share() as other:
        waiting = await placed(one, stop)
        wait = asyncio.create_task(waiting.wait(0.1, stop, size=10))
        await asyncio.sleep(0)

        (await placed(other, stop)).leave()
        await asyncio.wait_for(wait, timeout=60)
        after = asyncio.create_task(placed(other, stop))
        await asyncio.sleep(0.05)
        assert not after.done()
        waiting.leave()

        (await after).leave()


@in_virtual_time
async def test_a_batch_has_no_more_in_hand_than_its_share_though_all_of_it_waits() -> None:
    places, stop = Places(4), Stop()
    with places.share() as one, places.share() as other:
        held = [await placed(one, stop) for _ in range(2)]
        waits = [asyncio.create_task(place.wait(30, stop, size=10)) for place in held]

        third = asyncio.create_task(one.place(stop))
        others = [await placed(other, stop) for _ in range(2)]
        await asyncio.sleep(0.3)
        assert not third.done()

        held[0].leave()
        assert await asyncio.wait_for(third, timeout=60)
        for place in others:
            place.leave()
        stop.set("over")
        await asyncio.gather(*waits)


@in_virtual_time
async def test_bodies_beyond_the_measure_wait_with_their_places() -> None:
    places, stop = Places(2, waiting_bytes=10), Stop()
    with places.share() as share:
        places_held = [await placed(share, stop), await placed(share, stop)]
        waits = [asyncio.create_task(place.wait(30, stop, size=8)) for place in places_held]
        await asyncio.sleep(0)

        assert await asyncio.wait_for(places.take(stop), timeout=60)
        taken = asyncio.create_task(places.take(stop))
        await asyncio.sleep(0.05)
        assert not taken.done()
        stop.set("over")

        assert not await taken
        await asyncio.gather(*waits)


@in_virtual_time
async def test_all_places_are_there_again_whatever_became_of_the_requests() -> None:
    places = Places(3)
    with places.share() as share:
        stop = Stop()
        held = [await placed(share, stop) for _ in range(3)]
        waits = [asyncio.create_task(place.wait(30, stop, size=1)) for place in held]
        await asyncio.sleep(0)
        waits[0].cancel()
        stop.set("over")
        await asyncio.gather(*waits, return_exceptions=True)
        for place in held:
            place.leave()

        fresh = Stop()
        for _ in range(3):
            await placed(share, fresh)
        assert not (more := asyncio.create_task(share.place(fresh))).done()
        await asyncio.sleep(0.05)
        assert not more.done()
        fresh.set("over")
        assert await more is None


@in_virtual_time
async def test_the_next_request_begins_as_soon_as_one_has_ended() -> None:
    places, stop, loop = Places(1), Stop(), asyncio.get_running_loop()
    with places.share() as share:
        for _ in range(100):
            held = await share.place(stop)
            assert held
            loop.call_soon(held.leave)

    assert loop.time() == 0, "no place was waited for by a timer"

"""One thread draws for all: in turns, within bounds, and not for those who have left."""

import asyncio
import gc
import threading

import pytest

from gravlensdiffusion.studio.order import Busy, Left, Turns


async def never():
    await asyncio.Event().wait()


def staying():
    return asyncio.ensure_future(never())


def taken(turns, order, leaving=staying):
    async def take():
        return [item async for item in turns.items(order, leaving)]

    return asyncio.run(take())


def test_short_orders_pass_long_ones():
    done = []

    def order(name, num):
        def work(wanted):
            for k in range(num):
                done.append(name)
                yield k

        return work

    async def both():
        turns = Turns()

        async def take(name, num):
            return [item async for item in turns.items(order(name, num), staying)]

        return await asyncio.gather(take("long", 20), take("short", 2))

    assert asyncio.run(both()) == [list(range(20)), [0, 1]]
    assert done.index("short") < 3
    assert max(k for k, name in enumerate(done) if name == "short") < 6


def test_the_next_piece_waits_until_the_last_is_taken():
    made = []

    def order(wanted):
        for k in range(5):
            made.append(k)
            yield k

    async def slowly():
        items = Turns().items(order, staying)
        assert await anext(items) == 0
        await asyncio.sleep(0.05)
        assert made == [0]
        await items.aclose()

    asyncio.run(slowly())


def test_work_stops_when_whoever_asked_leaves():
    begun, stopped = threading.Event(), threading.Event()

    def order(wanted):
        begun.set()
        try:
            while True:
                wanted.check()
        except Left:
            stopped.set()
            raise
        yield

    async def leave():
        while not begun.is_set():
            await asyncio.sleep(0.001)

    turns = Turns()
    with pytest.raises(Left):
        taken(turns, order, lambda: asyncio.ensure_future(leave()))
    assert stopped.wait(5)
    # Others are drawn for as before.
    assert taken(turns, lambda _: (k for k in (1, 2))) == [1, 2]
    assert turns.num_waiting == 0


def test_what_waits_for_those_who_have_left_is_not_begun():
    hold, begun = threading.Event(), []

    def first(wanted):
        hold.wait(5)
        yield

    def second(wanted):
        begun.append(1)
        yield

    async def both():
        turns = Turns()

        async def take(order, leaving):
            return [item async for item in turns.items(order, leaving)]

        waiting = asyncio.create_task(take(first, staying))
        await asyncio.sleep(0.01)
        with pytest.raises(Left):
            await take(second, lambda: asyncio.ensure_future(asyncio.sleep(0.01)))
        hold.set()
        await waiting

    asyncio.run(both())
    assert not begun


def test_no_more_orders_wait_than_is_said():
    turns = Turns(max_waiting=1)

    def order(wanted):
        yield
        yield

    async def two():
        items = turns.items(order, staying)
        await anext(items)
        with pytest.raises(Busy):
            await anext(turns.items(order, staying))
        await items.aclose()
        assert [item async for item in turns.items(order, staying)] == [None, None]

    asyncio.run(two())


def test_an_error_is_told_and_ends_nothing_else():
    turns = Turns()

    def broken(wanted):
        raise ZeroDivisionError
        yield

    with pytest.raises(ZeroDivisionError):
        taken(turns, broken)
    assert taken(turns, lambda _: (k for k in "ab")) == ["a", "b"]


def test_nothing_is_complained_of_when_the_server_ends_an_order(caplog):
    hold = threading.Event()

    def order(wanted):
        hold.wait(5)
        wanted.check()
        yield

    async def cut():
        turns = Turns()

        async def take():
            return [item async for item in turns.items(order, staying)]

        task = asyncio.create_task(take())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        hold.set()
        assert [item async for item in turns.items(lambda _: (k for k in (1,)), staying)] == [1]
        assert turns.num_waiting == 0

    asyncio.run(cut())
    gc.collect()
    assert caplog.text == ""

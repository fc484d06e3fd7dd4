"""Rows beside shards that are lost with their worker: one reading makes them again, and no history is kept."""

from __future__ import annotations

import time

import numpy as np
import pytest

import softmargin as sm
from softmargin.engines import Gradients
from softmargin.engines.registry import make_engine
from softmargin.engines.shard import FoldRule
from softmargin.losses import SmoothedHinge
from tests.cluster.conftest import cluster, write_shards

N_SHARDS = 6


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return sm.open_shards(write_shards(tmp_path_factory.mktemp("many"), sizes=(700,) * N_SHARDS))


def counter():
    from distributed.diagnostics.plugin import SchedulerPlugin

    class Counter(SchedulerPlugin):
        """The tasks that have read a shard, by their name and number of the shard."""

        name = "readings"

        def __init__(self):
            self.keys = []

        def transition(self, key, start, finish, *args, **kwargs):
            if (start, finish) == ("processing", "memory") and key.split("-")[1] in ("sums", "kept"):
                self.keys.append(key)

    return Counter()


def lose(client):
    """Close a worker with all that it has, and start another one."""
    workers = client.cluster.workers
    worker = next(worker for worker in workers.values() if worker.status.name == "running")
    client.cluster.scale(len(workers) + 1)
    client.sync(worker.close)
    while worker.address in client.nthreads():
        time.sleep(0.01)
    client.wait_for_workers(2, timeout=60)


def one_round(engine, rows, k):
    rng = np.random.default_rng(k)
    loss, W, b = SmoothedHinge(1.0, 1.0 / (k + 1)), rng.normal(size=(30, 6)) / 3.0, rng.normal(size=6)
    sums = engine.dual_sums(loss, W, b, Gradients(loss, rows.scaled(loss.width), keep=True))
    return rows.moved(sums.rows, 1.3, 0.0, 1.0), (sums.value, sums.conjugate, sums.features.tobytes())


def rounds(engine, n_rounds, after=lambda k, rows: None, first=None):
    rows, found = engine.rows_from(None) if first is None else first, []
    for k in range(n_rounds):
        rows, sums = one_round(engine, rows, k)
        found.append(sums)
        after(k, rows)
    return rows, found


@pytest.mark.parametrize("fold", [None, 1])
def test_a_lost_worker_costs_one_reading_of_its_shards_after_any_round(data, fold):
    def part(engine):
        return engine if fold is None else engine.divided(FoldRule(0, (1 << 63,)), 2).with_fold(fold)

    _, expected = rounds(part(make_engine("chunked", data)), 7)
    with cluster(2, processes=False) as client:
        plugin = counter()
        client.register_plugin(plugin)
        plugin = client.cluster.scheduler.plugins["readings"]
        engine, n_lost = part(make_engine("dask", data)), []

        def after(k, rows):
            if k in (1, 4, 5):
                for part in rows.parts:
                    part.result()
                held = [client.who_has(rows.parts)[part.key] for part in rows.parts]
                lose(client)
                n_lost.append(sum(not set(where) & set(client.nthreads()) for where in held))

        _, found = rounds(engine, 7, after)
        n_read = len(plugin.keys)
    assert found == expected
    assert sum(n_lost) >= 3, n_lost
    assert n_read == 7 * N_SHARDS + sum(n_lost)


@pytest.mark.parametrize("from_zeros", [True, False])
def test_the_tasks_of_the_scheduler_do_not_grow_with_the_rounds(data, from_zeros):
    with cluster(2, processes=False) as client:
        n_tasks = []

        def after(k, rows):
            for part in rows.parts:
                part.result()
            time.sleep(0.2)  # until keys are released
            n_tasks.append(len(client.cluster.scheduler.tasks))

        engine, loss = make_engine("dask", data), SmoothedHinge()
        sums = engine.dual_sums(loss, np.zeros((30, 6)), np.zeros(6), Gradients(loss, keep=True))
        rounds(engine, 6, after, None if from_zeros else sums.rows.non_negative())
    assert len(set(n_tasks[1:])) == 1, n_tasks

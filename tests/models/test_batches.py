"""Which studies are in which batch, however many processes share them."""

import pytest

from benchmark.errors import UserError
from benchmark.models._batches import BatchPlan, EpochBatches, Filler, bucketed, shuffled


@pytest.mark.parametrize("n", [1, 3, 16, 29, 32, 35])
@pytest.mark.parametrize("processes", [1, 2, 4])
def test_every_study_once_and_steps_do_not_depend_on_the_processes(n, processes):
    alone, shared = BatchPlan.of(8, 2, 1), BatchPlan.of(8, 2, processes)
    of_one = list(EpochBatches(shuffled(n, 3), n, alone, 0))
    of_each = [list(EpochBatches(shuffled(n, 3), n, shared, rank)) for rank in range(processes)]
    assert {len(batches) for batches in of_each} == {shared.passes(n)}, "a process that has fewer would be waited for"
    assert sorted(index.position for batch in of_one for index in batch) == list(range(n))

    def steps(accumulation, *of_processes):
        """The studies of each step, those of fillers left out."""
        for begin in range(0, len(of_processes[0]), accumulation):
            batches = [batch for batches in of_processes for batch in batches[begin : begin + accumulation]]
            yield sorted(i.position for batch in batches for i in batch if not isinstance(i, Filler))

    assert list(steps(shared.accumulation, *of_each)) == list(steps(alone.accumulation, of_one))
    assert max(len(batch) for batches in of_each for batch in batches) <= shared.micro


@pytest.mark.parametrize(
    ("batch_size", "accumulation", "processes", "halvings", "micro", "passes"),
    [(8, 4, 1, 0, 8, 4), (8, 4, 2, 0, 8, 2), (8, 4, 8, 0, 4, 1), (8, 4, 1, 1, 4, 8), (16, 1, 2, 2, 2, 4),
     (6, 1, 1, 1, 3, 2), (5, 1, 1, 1, 1, 5), (8, 1, 1, 9, 1, 8), (8, 1, 4, 1, 1, 2)],
)  # fmt: skip
def test_a_step_keeps_its_studies(batch_size, accumulation, processes, halvings, micro, passes):
    plan = BatchPlan.of(batch_size, accumulation, processes, halvings)
    assert (plan.micro, plan.accumulation, plan.studies) == (micro, passes, batch_size * accumulation)


def test_a_step_that_cannot_be_shared_is_refused():
    with pytest.raises(UserError, match="32 studies, which 3 processes cannot share"):
        BatchPlan.of(8, 4, 3)


def test_buckets_hold_texts_of_like_length_in_an_order_of_their_own_each_epoch():
    lengths = [10 + 7 * i % 90 for i in range(203)]
    order = bucketed(lengths, 8, seed=1)
    assert sorted(order(0)) == list(range(203)) and order(0) == order(0) != order(1)

    def padding(positions):
        batches = [positions[k : k + 8] for k in range(0, len(positions), 8)]
        return sum(max(lengths[i] for i in batch) * len(batch) for batch in batches) / sum(lengths)

    assert padding(order(0)) < 1.1 < 1.3 < padding(shuffled(203, 1)(0))


def test_the_order_of_an_epoch_is_its_own_and_the_seed_s():
    orders = [shuffled(10, seed)(epoch) for seed, epoch in ((3, 0), (3, 1), (4, 0))]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert orders[0] != orders[1] and orders[0] != orders[2]
    assert shuffled(10, 3)(1) == orders[1]

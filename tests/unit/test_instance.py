"""Seeds, streams, tables and the arithmetic that decides public bits."""

import hashlib
import threading

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from tasks.instance import (
    CHUNK_ROWS,
    Answers,
    Contract,
    Facts,
    Instance,
    PlantedFact,
    Seed,
    Streams,
    Table,
    class_names,
    draw_classes,
    on_grid,
)

PURPOSES = st.text(max_size=12)
CHUNKS = st.integers(0, 2**32)


def draws(generator, n=8):
    return generator.integers(0, 2**63, size=n).tolist()


# --- seeds -------------------------------------------------------------------------------------


def test_a_fresh_seed_is_32_bytes_that_nobody_could_have_guessed():
    seeds = {Seed.fresh().secret for _ in range(50)}
    assert len(seeds) == 50
    assert {len(secret) for secret in seeds} == {32}
    assert Seed.fresh().sealed


def test_practice_and_numbered_seeds_are_the_same_each_time_and_never_sealed():
    assert Seed.practice("a") == Seed.practice("a")
    assert Seed.public(1) == Seed.public(1)
    seeds = [
        Seed.practice("a"),
        Seed.practice("b"),
        Seed.practice("1"),
        Seed.public(1),
        Seed.public(2),
    ]
    assert len({seed.secret for seed in seeds}) == 5
    assert not any(seed.sealed for seed in seeds)
    assert {len(seed.secret) for seed in seeds} == {32}


def test_the_practice_seed_of_a_task_never_changes():
    assert Seed.practice("t").secret == hashlib.sha256(b"practice t").digest()
    assert Seed.public(7).secret == hashlib.sha256(b"seed 7").digest()


# --- streams -----------------------------------------------------------------------------------


def test_the_bits_of_a_stream_never_change():
    """Golden: every instance there ever was depends on them."""
    assert Streams(b"golden").stream("features", 3).integers(0, 2**63, size=2).tolist() == [
        3226252862479711644,
        2817541632885410078,
    ]


@given(st.binary(max_size=40), PURPOSES, CHUNKS)
def test_a_stream_is_reproducible_and_starts_anew_each_time(seed, purpose, chunk):
    streams = Streams(seed)
    first = draws(streams.stream(purpose, chunk))
    assert draws(streams.stream(purpose, chunk)) == first
    assert draws(Streams(seed).stream(purpose, chunk)) == first


@given(st.lists(st.tuples(PURPOSES, CHUNKS), min_size=2, max_size=6, unique=True))
def test_purposes_and_chunks_have_streams_of_their_own(places):
    streams = Streams(b"seed")
    seen = [tuple(draws(streams.stream(*place))) for place in places]
    assert len(set(seen)) == len(places)


@given(PURPOSES, st.lists(PURPOSES, max_size=4))
def test_what_is_drawn_elsewhere_shifts_no_stream(purpose, others):
    streams = Streams(b"seed")
    alone = draws(streams.stream(purpose))
    for other in others:
        streams.stream(other).standard_normal(100)
    assert draws(streams.stream(purpose)) == alone


@given(st.binary(min_size=1, max_size=8), st.binary(min_size=1, max_size=8))
@example(b"a", b"b")
def test_other_seeds_give_other_streams(a, b):
    same = draws(Streams(a).stream("x")) == draws(Streams(b).stream("x"))
    assert same == (a == b)


@given(PURPOSES, PURPOSES)
def test_a_child_has_streams_of_its_own(child, purpose):
    streams = Streams(b"seed")
    inner = draws(streams.child(child).stream(purpose))
    assert inner == draws(streams.child(child).stream(purpose))
    assert inner != draws(streams.stream(purpose))
    assert inner != draws(streams.stream(child))
    assert inner != draws(streams.child(child + "x").stream(purpose))


def test_neighbouring_chunks_and_purposes_are_uncorrelated():
    """Of 45 pairs of streams of 20,000 normals none correlates beyond 4.5 standard errors."""
    streams = Streams(b"independent")
    places = [(purpose, chunk) for purpose in ("a", "b") for chunk in range(5)]
    x = np.stack([streams.stream(*place).standard_normal(20_000) for place in places])
    off = np.corrcoef(x)[np.triu_indices(len(places), 1)]
    assert np.abs(off).max() < 4.5 / np.sqrt(20_000)


def test_a_long_chunk_does_not_run_into_the_next():
    streams = Streams(b"seed")
    long = streams.stream("x", 0).integers(0, 2**63, size=200_000)
    following = streams.stream("x", 1).integers(0, 2**63, size=4)
    assert not np.isin(following, long).any()


def test_a_negative_chunk_is_no_chunk():
    with pytest.raises(OverflowError):
        Streams(b"seed").stream("x", -1)


def test_streams_do_not_depend_on_the_thread_that_asks():
    streams, found = Streams(b"seed"), {}

    def work(k):
        found[k] = draws(streams.stream("x", k))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {k: draws(streams.stream("x", k)) for k in range(8)}


# --- tables ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_rows", "n_chunks"),
    [(0, 1), (1, 1), (CHUNK_ROWS, 1), (CHUNK_ROWS + 1, 2), (2 * CHUNK_ROWS, 2)],
)
def test_a_table_of_columns_is_cut_into_chunks_that_make_it_up(n_rows, n_chunks):
    columns = {"id": np.arange(n_rows), "x": np.arange(n_rows) / 2}
    table = Table.of(columns)
    assert (table.n_rows, table.n_chunks) == (n_rows, n_chunks)
    assert sum(len(table.chunk(k)["id"]) for k in range(n_chunks)) == n_rows
    assert list(table.columns()) == ["id", "x"]
    for name, values in table.columns().items():
        assert np.array_equal(values, columns[name])
        assert values.dtype == columns[name].dtype


# --- rounding ----------------------------------------------------------------------------------

FINITE = st.floats(-1e9, 1e9)


@given(nps.arrays(np.float64, nps.array_shapes(max_dims=2), elements=FINITE), st.integers(0, 6))
def test_the_grid_is_reached_by_less_than_half_a_step_and_kept(values, decimals):
    rounded = on_grid(values, decimals)
    few_last_places = 4 * np.spacing(1e9)
    assert np.abs(rounded - values).max() <= 0.5 * 10.0**-decimals + few_last_places
    assert np.array_equal(on_grid(rounded, decimals), rounded)


@given(FINITE)
def test_a_number_on_the_grid_prints_with_its_decimals_only(value):
    number = on_grid(np.array([value]))[0]
    assert float(f"{number:.4f}") == number


def test_the_grid_has_no_negative_zero_and_keeps_missing_cells():
    rounded = on_grid(np.array([-1e-9, -0.0, np.nan]))
    assert not np.signbit(rounded[:2]).any()
    assert np.isnan(rounded[2])


def test_halves_go_to_the_even_neighbour():
    assert on_grid(np.array([0.5, 1.5, 2.5, -0.5]), 0).tolist() == [0.0, 2.0, 2.0, 0.0]


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_the_grid_is_always_of_doubles(dtype):
    assert on_grid(np.array([1, 2], dtype=dtype)).dtype == np.float64


def test_the_same_up_to_the_last_bits_is_the_same_on_the_grid():
    values = np.linspace(-3, 3, 1001) + 1e-5
    assert np.array_equal(on_grid(values), on_grid(values * (1 + 1e-15)))


# --- drawing classes ---------------------------------------------------------------------------


@given(
    nps.arrays(
        np.float64, st.tuples(st.integers(1, 20), st.integers(1, 5)), elements=st.floats(0, 1)
    ),
    st.integers(0, 2**32),
)
def test_a_drawn_class_is_the_interval_the_uniform_number_falls_into(weights, seed):
    p = (weights + 1e-3) / (weights + 1e-3).sum(axis=1, keepdims=True)
    uniform = np.random.default_rng(seed).random(len(p))
    codes = draw_classes(p, uniform)
    edges = np.cumsum(p, axis=1)
    for code, number, edge in zip(codes, uniform, edges, strict=True):
        assert 0 <= code < p.shape[1]
        assert code == 0 or number >= edge[code - 1]
        assert code == p.shape[1] - 1 or number < edge[code]


def test_a_class_of_no_probability_is_never_drawn():
    p = np.array([[0.0, 1.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [1.0, 0.0, 0.0]])
    assert draw_classes(p, np.array([0.0, 0.0, 0.5, 0.999])).tolist() == [1, 1, 2, 0]


def test_classes_come_as_often_as_their_probability_says():
    """Within 4.5 standard errors of 100,000 draws."""
    p = np.array([0.05, 0.25, 0.7])
    uniform = Streams(b"classes").stream("u").random(100_000)
    share = np.bincount(draw_classes(np.tile(p, (100_000, 1)), uniform), minlength=3) / 100_000
    assert (np.abs(share - p) < 4.5 * np.sqrt(p * (1 - p) / 100_000)).all()


def test_class_names_are_numbers_in_the_files_where_all_of_them_are():
    codes = np.array([0, 1, 1])
    assert class_names(codes, ("3", "-5")).tolist() == [3, -5, -5]
    assert class_names(codes, ("3", "-5")).dtype == np.int64
    assert class_names(codes, ("a", "5")).tolist() == ["a", "5", "5"]
    assert class_names(codes, ("-", "5")).dtype == object


# --- commitments -------------------------------------------------------------------------------


def instance(ids=(1, 2), labels=(0, 1), planted=()):
    return Instance(
        public={},
        notes="",
        contract=Contract(kind="classes", ids=np.array(ids), classes=("0", "1")),
        answers=Answers(labels=np.array(labels), law=None, trivial={}),
        facts=Facts(planted=tuple(planted), columns=(), redraw=lambda n: {}) if planted else None,
    )


def fact(kind="outliers", **args):
    return PlantedFact(type=kind, args=args, text="")


def test_a_commitment_tells_other_seeds_answers_and_facts_apart():
    seed = Seed.public(1)
    commitments = [
        instance().commitment(seed),
        instance().commitment(Seed.public(2)),
        instance(ids=(2, 1)).commitment(seed),
        instance(labels=(1, 0)).commitment(seed),
        instance(labels=(0.0, 1.0)).commitment(seed),
        instance(planted=[fact(column="a")]).commitment(seed),
        instance(planted=[fact(column="b")]).commitment(seed),
        instance(planted=[fact("interaction", column="a")]).commitment(seed),
        Instance(public={}, notes="").commitment(seed),
    ]
    assert len(set(commitments)) == len(commitments)
    assert all(len(commitment) == 64 for commitment in commitments)


def test_a_commitment_is_the_same_for_the_same_answers_however_they_lie_in_memory():
    seed = Seed.public(1)
    strided = np.array([0, 9, 1, 9])[::2]
    assert instance(labels=strided).commitment(seed) == instance().commitment(seed)
    first, second = fact(column="a", at=1), fact(at=1, column="a")
    assert instance(planted=[first]).commitment(seed) == instance(planted=[second]).commitment(seed)


def test_without_answers_a_commitment_is_of_the_seed_alone():
    seed = Seed.public(1)
    assert Instance(public={}, notes="").commitment(seed) == hashlib.sha256(seed.secret).hexdigest()

"""What a roll-up's file gives back is what was put in, whatever the values are."""

import duckdb
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from server.series import rollup_pack
from server.series.figures import Figures

VALUES = st.one_of(
    st.integers(-500, 5000).map(lambda n: n / 10),
    st.integers(-(10**6), 10**6).map(lambda n: n / 10_000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 1e11, 1e300, 5e-324, 0.1 + 0.2]),
)


def figures_of(points):
    """Each point has some steps, each from two values and a share between them."""
    rows = [(point, n, min(a, b), max(a, b), share) for point, steps in enumerate(points, 1) for n, (a, b, share) in enumerate(steps)]
    point, time, low, high, share = (np.array(column) for column in zip(*rows, strict=True))
    mean = np.clip(low * (1 - share) + high * share, low, high)
    ones = np.ones(len(rows), dtype=np.int64)
    return Figures(point.astype(np.int64), time.astype(np.int64), low, mean, high, ones, ones * 3, ones * 2)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(VALUES, VALUES, st.floats(0, 1)), min_size=1, max_size=6), min_size=1, max_size=4))
def test_lowest_and_highest_come_back_exactly_and_the_mean_to_a_thousandth_of_the_resolution(points):
    given_ = figures_of(points)
    packed = rollup_pack.packed(given_)
    with duckdb.connect() as connection:
        connection.register("packed", packed)
        connection.execute("CREATE TABLE kept AS SELECT * FROM packed")
        columns = {name: np.asarray(column) for name, column in connection.execute(f"SELECT {rollup_pack.COLUMNS} FROM kept").fetchnumpy().items()}
    found = rollup_pack.unpacked(columns)
    for name in ("point", "time", "min", "max", "count", "watched_ms", "in_band_ms"):
        assert getattr(found, name).tolist() == getattr(given_, name).tolist(), name
    scale = packed["scale"]
    assert (found.mean[scale == 0] == given_.mean[scale == 0]).all()
    whole = scale > 0
    rounding = 1e-15 * np.maximum(np.abs(given_.max[whole]), np.abs(given_.min[whole]))  # of doubles as such
    assert (np.abs(found.mean[whole] - given_.mean[whole]) <= 0.00051 / scale[whole] + rounding).all()
    assert ((found.min <= found.mean) & (found.mean <= found.max)).all()


def test_values_of_a_sensor_become_small_integers():
    packed = rollup_pack.packed(figures_of([[(20.1, 20.4, 0.5)], [(0.1234, 3.0, 0.5)], [(1.0, 0.0, 1.0)], [(1 / 3, 1.0, 0.5)]]))
    assert packed["scale"].tolist() == [10, 10_000, 1, 0]
    assert packed["low"].tolist()[:3] == [201, 1234, 0]
    assert packed["span"].tolist()[:3] == [3, 28_766, 1]
    assert packed["above"].tolist()[:3] == [1500, 14_383_000, 1000]

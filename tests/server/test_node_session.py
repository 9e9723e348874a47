from server.ingest.session import REBIRTH_SPACING_MS, REORDER_MS, NodeSession


def born(seq=0):
    node = NodeSession("350100", "GW1")
    node.birth(bd_seq=3, seq=seq, names={1: "th1/humidity"}, acknowledges=True)
    return node


def test_a_gap_in_seq_asks_for_a_rebirth_after_the_reorder_timeout_and_not_again_at_once():
    node = born()
    node.follow(1, 1000)
    node.follow(3, 2000)
    assert not node.wants_rebirth(2000 + REORDER_MS - 1)
    assert node.wants_rebirth(2000 + REORDER_MS)
    assert not node.wants_rebirth(2000 + REORDER_MS + 1)
    assert node.wants_rebirth(2000 + REORDER_MS + REBIRTH_SPACING_MS)


def test_seq_wraps_at_256():
    node = born(seq=255)
    node.follow(0, 1000)
    assert not node.wants_rebirth(1000 + 10 * REORDER_MS)


def test_a_birth_closes_the_gap():
    node = born()
    node.follow(7, 1000)
    node.birth(bd_seq=4, seq=0, names={}, acknowledges=True)
    assert not node.wants_rebirth(1000 + 10 * REORDER_MS)


def test_a_death_of_an_earlier_session_is_ignored():
    node = born()
    assert not node.death(2)
    assert node.born
    assert node.death(3)
    assert not node.born


def test_small_clock_differences_are_the_way_of_the_message():
    node = born()
    assert node.clock(100_000, 101_900) == 0
    assert node.clock(100_000, 107_000) == 7000
    assert node.clock(None, 500) == 7000
    assert node.clock(110_000, 100_000) == -10_000

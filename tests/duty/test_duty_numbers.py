import pytest

from server.duty.numbers import CYCLE, number, spaced, valid


def test_every_alarm_of_a_cycle_has_its_own_number():
    numbers = {number(seed) for seed in range(CYCLE)}
    assert len(numbers) == CYCLE
    assert all(len(text) == 6 for text in numbers)


def test_the_cycle_begins_anew():
    assert number(7) == number(7 + CYCLE)


def test_numbers_are_valid_with_and_without_blanks():
    assert all(valid(number(seed)) for seed in range(0, CYCLE, 37))
    assert valid(spaced(number(12)))
    assert spaced("483925") == "483 925"


@pytest.mark.parametrize("text", ["", "12345", "1234567", "48392a", "４８３９２５", "-48392", "4839 2"])
def test_other_texts_are_refused(text):
    assert not valid(text)


def test_one_wrong_digit_is_always_noticed():
    for seed in range(0, CYCLE, 997):
        text = number(seed)
        for place in range(6):
            wrong = [text[:place] + digit + text[place + 1 :] for digit in "0123456789" if digit != text[place]]
            assert not any(valid(other) for other in wrong)


def test_the_check_digit_is_luhn():
    # The number of the examples in language.md, by hand: 4*2 + 8 + 3*2 + 9 + 2*2 + 5 = 40.
    assert valid("483925")
    assert not valid("483926")


def test_neighbours_differ_in_at_least_three_digits():
    for seed in range(2000):
        differing = sum(a != b for a, b in zip(number(seed), number(seed + 1), strict=True))
        assert differing >= 3


def test_a_negative_id_is_refused():
    with pytest.raises(ValueError, match="never negative"):
        number(-1)

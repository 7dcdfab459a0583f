"""Made-up words for the levels of groups; they mean nothing and are in no order."""

_HEADS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z")
_VOWELS = ("a", "e", "i", "o", "u")
_TAILS = ("l", "n", "r", "s")


def word(number: int) -> str:
    """Return a word of five letters, another for each number below 980."""
    number = number * 617 % 980
    head, rest = number % 14, number // 14
    vowel, rest = rest % 5, rest // 5
    tail = rest % 4
    return (
        f"{_HEADS[head]}{_VOWELS[vowel]}{_TAILS[tail]}{_VOWELS[(vowel + 2) % 5]}{_HEADS[rest % 14]}"
    )

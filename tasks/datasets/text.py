"""Documents of a hidden-Markov grammar per class (tier B).

All classes share the word classes (states) and their words, and every grammar visits each state
equally often, so that the expected word counts are the same for each class: only the order of
words tells them apart. p(words | class) is the forward pass of Baum & Petrie (1966).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.datasets import given_class
from tasks.datasets.given_class import Columns, Conditional, Part
from tasks.datasets.one_thread import on_one_thread
from tasks.datasets.vocabulary import vocabulary
from tasks.families import TextClassification
from tasks.instance import Floats, Instance, Ints, Streams, draw_classes

STATES = 6
"""Word classes of the grammar."""
APART = 3
"""States after which two classes go on differently, at least."""
AT_HOME = 40
"""How much likelier a word is in its own state than in another."""
BATCH = 4096
"""Documents per forward pass; bounds the memory, changes no result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """Transitions per class and words per state."""

    tickets: Ints
    """(STATES, V) odds of the words of a state, whole numbers of equal sums: exact to add up."""
    preferred: Floats
    """(K, STATES, STATES) transitions of each class at full order; rows and columns sum to 1."""
    mean_length: int
    order: float = 1.0
    """Weight of the preferred transitions against even ones, 0 to 1."""

    @property
    def transitions(self) -> Floats:
        """(K, STATES, STATES), p(next state | state, class)."""
        mixed: Floats = self.order * self.preferred + (1.0 - self.order) / STATES
        return mixed

    def words(self, part: Part, codes: Ints) -> Ints:
        """Draw documents of these classes, (n, longest): word numbers, -1 behind the last."""
        n = len(codes)
        shortest, longest = _lengths(self.mean_length)
        length = part.stream("length").integers(shortest, longest + 1, n)
        steps, picks = part.stream("states"), part.stream("words")
        last = np.cumsum(self.tickets, axis=1)
        transitions = self.transitions
        state = steps.integers(0, STATES, n)
        words = np.full((n, longest), -1, dtype=np.int64)
        for t in range(longest):
            if t > 0:
                state = draw_classes(transitions[codes, state], steps.random(n))
            ticket = picks.integers(0, last[0, -1], n)
            for m in range(STATES):
                mine = (state == m) & (t < length)
                words[mine, t] = np.searchsorted(last[m], ticket[mine], side="right")
        return words

    def posterior(self, words: Ints) -> Floats:
        """Return p(class | words), (n, K), for classes of equal odds, by the forward pass.

        Lengths tell nothing of the class. No stored value depends on these sums.
        """
        batches = [words[i : i + BATCH] for i in range(0, len(words), BATCH)]
        return given_class.softmax(np.concatenate([self._evidence(batch) for batch in batches]))

    def _evidence(self, words: Ints) -> Floats:
        """Return log p(words | class), (n, K), up to a constant of the row."""
        emission = (self.tickets / self.tickets.sum(axis=1, keepdims=True)).T
        transitions = self.transitions
        forward = np.full((len(transitions), len(words), STATES), 1.0 / STATES)
        evidence = np.zeros((len(words), len(transitions)))
        for t in range(words.shape[1]):
            there = words[:, t] >= 0
            if t > 0:
                forward = forward @ transitions
            likely = np.where(there[:, None], emission[words[:, t]] * len(emission), 1.0)
            forward = forward * likely
            total = forward.sum(axis=2, keepdims=True)
            forward = forward / total
            evidence += np.log(total[:, :, 0]).T
        return evidence


@on_one_thread
def draw(params: TextClassification, streams: Streams) -> Instance:
    """Draw documents whose Bayes accuracy is `params.ceiling`.

    Raises:
        InvalidTask: The documents are too short for that ceiling.
    """
    words = np.array(vocabulary(params.vocabulary), dtype=object)
    grammar = _random(streams.stream("structure"), params)

    def chances(order: float, n: int) -> Floats:
        candidate, pilot = replace(grammar, order=order), given_class.pilot(streams, n)
        words = candidate.words(pilot, pilot.codes(params.n_classes))
        best: Floats = candidate.posterior(words).max(axis=1)
        return best

    order = given_class.precise_root(chances, params.ceiling, 0.01, 0.99)
    found = replace(grammar, order=order)
    number = {word: i for i, word in enumerate(words)}
    law = Conditional(
        n_classes=params.n_classes,
        columns=lambda part, codes: _texts(words, found.words(part, codes)),
        posterior=lambda columns: found.posterior(_numbers(number, columns, found)),
    )
    details = {
        "order": found.order,
        "transitions": found.transitions,
        "states": {
            f"state {m}": [words[v] for v in np.argsort(-found.tickets[m], kind="stable")[:20]]
            for m in range(STATES)
        },
    }
    return given_class.instance(params, streams, law, notes=_notes(params), details=details)


def _random(rng: Generator, params: TextClassification) -> Grammar:
    size = params.vocabulary
    rank = rng.permutation(size)
    home = rank % (STATES + 1)  # the last one means: a word of every state
    common = 1 + 10_000 // (rank + 1)  # Zipf
    at_home = (np.arange(STATES)[:, None] == home) | (home == STATES)
    tickets = common * np.where(at_home, AT_HOME, 1)
    tickets[:, rank.argmax()] += tickets.sum(axis=1).max() - tickets.sum(axis=1)
    return Grammar(
        tickets=tickets,
        preferred=_preferred(rng, params.n_classes),
        mean_length=params.mean_length,
    )


def _preferred(rng: Generator, n_classes: int) -> Floats:
    """Mix permutations: rows and columns sum to 1, so every state is visited equally often.

    The main successors of any two classes differ for 3 states of 6 or more. A next class can be
    found as long as there are fewer than 720 / 16 = 45 (Gilbert & Varshamov).
    """
    main = [rng.permutation(STATES)]
    while len(main) < n_classes:
        candidate = rng.permutation(STATES)
        if min(int((candidate != other).sum()) for other in main) >= APART:
            main.append(candidate)
    identity = np.eye(STATES)
    aside = [rng.permutation(STATES) for _ in range(n_classes)]
    mixed: Floats = 0.75 * identity[np.array(main)] + 0.25 * identity[np.array(aside)]
    return mixed


def _lengths(mean: int) -> tuple[int, int]:
    """Return the shortest and the longest length, half and three halves of the mean."""
    shortest = (mean + 1) // 2
    return shortest, 2 * mean - shortest


def _texts(words: NDArray[Any], numbers: Ints) -> Columns:
    texts = np.empty(len(numbers), dtype=object)
    for i, row in enumerate(numbers):
        texts[i] = " ".join(words[row[row >= 0]])
    return {"text": texts}


def _numbers(number: dict[str, int], columns: Columns, grammar: Grammar) -> Ints:
    """Read documents back as word numbers: the law holds for the texts as stored."""
    texts = columns["text"]
    words = np.full((len(texts), _lengths(grammar.mean_length)[1]), -1, dtype=np.int64)
    for i, text in enumerate(texts):
        row = [number[word] for word in text.split()]
        words[i, : len(row)] = row
    return words


def _notes(params: TextClassification) -> str:
    shortest, longest = _lengths(params.mean_length)
    names = ", ".join(str(k) for k in range(params.n_classes))
    return (
        f"- `train.csv`: {params.n_samples:,} labelled documents, columns `id`, `text`, "
        f"`target`.\n"
        f"- `test.csv`: {params.test_rows:,} documents, the same columns without `target`.\n\n"
        f"A text is {shortest} to {longest} lower-case words out of {params.vocabulary}, with a "
        f"space between two; the order of words carries the meaning. `target` is the class, one "
        f"of {names}, each as likely as the others. Rows are independent of each other and in no "
        f"order; ids mean nothing."
    )

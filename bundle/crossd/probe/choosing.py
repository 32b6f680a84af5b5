"""Which view and how strong a penalty, chosen by cross-validation inside the labelled cases; nested for the figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crossd.data.splits import stratified_folds
from crossd.probe.linear import Components, fit_heads
from crossd.probe.outcomes import Classes, Values, outcome_of
from crossd.probe.regressions import ClassWeights, Linear

Array = np.ndarray
STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
SMALL = 500  # cases, below which cross-validation is repeated, and its winner doubted: its folds are an accident
AHEAD = 2  # standard errors, by which a candidate has to be ahead of the usual one
COVARIATES = "covariates"  # the set of columns of the table


@dataclass(frozen=True)
class Labelled:
    """Cases with features.

    Attributes:
        sets: by name `(cases, features)`.
        targets: 0 or 1 `(cases, classes)`; of a regression the numbers `(cases, 1)`.
        patients: of each case.
    """

    sets: Mapping[str, Array]
    targets: Array
    patients: Sequence[str]

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, cases: Sequence[int] | Array) -> Labelled:
        """These cases only."""
        chosen = np.asarray(cases, dtype=int)
        patients = [self.patients[index] for index in chosen]
        return Labelled({name: rows[chosen] for name, rows in self.sets.items()}, self.targets[chosen], patients)

    def rows(self, names: Iterable[str]) -> Array:
        """Features of several sets, side by side."""
        return np.concatenate([self.sets[name] for name in names], 1)


@dataclass(frozen=True)
class Candidate:
    """What a regression may look at: some sets of features, or the principal components of them.

    Where columns of the table are beside views, which have a thousand features for each of theirs, both have the same
    total variance before the penalty (Escofier, Pagès, Computational Statistics & Data Analysis 1994).

    Attributes:
        usual: whether it is taken unless another one is clearly better; see `Recipe.choose`.
    """

    sets: tuple[str, ...]
    components: Components | None = None
    usual: bool = False

    @property
    def name(self) -> str:
        """As tables have it."""
        return " + ".join(self.sets) + (", components" if self.components is not None else "")

    def heads(self, cases: Labelled, strengths: Sequence[float], task: str, weights: ClassWeights) -> list[Linear]:
        """Of each strength the layer, features of the sets side by side → logits."""
        rows = cases.rows(self.sets)
        if self.components is None:
            return fit_heads(rows, cases.targets, strengths, task, weights, emphasis=self._emphasis(cases))
        fitted = fit_heads(self.components(rows), cases.targets, strengths, task, weights)
        return [self.components.before(head) for head in fitted]

    def _emphasis(self, cases: Labelled) -> Array | None:
        if COVARIATES not in self.sets or len(self.sets) == 1:
            return None
        counts = {name: cases.sets[name].shape[1] for name in self.sets}
        ratio = np.sqrt((sum(counts.values()) - counts[COVARIATES]) / counts[COVARIATES])
        return np.concatenate([np.full(counts[name], ratio if name == COVARIATES else 1.0) for name in self.sets])


@dataclass(frozen=True)
class Choice:
    """What cross-validation chose.

    Attributes:
        candidate, strength: the winner.
        scores: of each candidate that at its best strength: minus the mean negative log-likelihood of a class, of a
            regression R². The winner's is too good, as it won by it, and is never reported as what the model can do.
    """

    candidate: Candidate
    strength: float
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Fit:
    """What was chosen, fitted: a layer, features of the candidate's sets side by side → logits."""

    choice: Choice
    head: Linear

    def logits(self, cases: Labelled) -> Array:
        """`(cases, classes)`."""
        return self.head(cases.rows(self.choice.candidate.sets))


Groups = Mapping[str, Sequence[Candidate]]


@dataclass(frozen=True)
class Recipe:
    """How it is chosen.

    Attributes:
        task: of `crossd.cards.tasks.TASKS`.
        class_weights: of the regressions; see `fit_heads`.
        folds: of the inner and the outer cross-validation, fewer where a class has fewer patients.
        strengths: from which one is chosen.
        repeats: of the inner cross-validation of less than `SMALL` cases.
        seed: of the folds.
    """

    task: str = "multiclass"
    class_weights: ClassWeights = "balanced"
    folds: int = 5
    strengths: Sequence[float] = STRENGTHS
    repeats: int = 3
    seed: int = 0

    def choose(self, cases: Labelled, groups: Groups) -> dict[str, Choice]:
        """Choose in each group by the score of cases that each regression has not seen, grouped by patient.

        Of less than `SMALL` cases, where a group has a usual candidate, another one has to be ahead of it by `AHEAD`
        standard errors of the paired difference over cases: the best of many is often so by accident (Breiman et al.,
        Classification and Regression Trees, 1984, section 3.4.3).
        """
        candidates = {one.name: one for group in groups.values() for one in group}
        scores = {name: np.zeros((len(self.strengths), len(cases))) for name in candidates}
        repeats = self.repeats if len(cases) < SMALL else 1
        for repeat in range(repeats):
            said = {name: np.zeros((len(self.strengths), *cases.targets.shape)) for name in candidates}
            for training, held_out in replace(self, seed=self.seed + repeat).parts(cases):
                seen, unseen = cases.take(training), cases.take(held_out)
                for name, candidate in candidates.items():
                    heads = candidate.heads(seen, self.strengths, self.task, self.class_weights)
                    for logits, head in zip(said[name], heads, strict=True):
                        logits[held_out] = head(unseen.rows(candidate.sets))
            for name, found in said.items():
                scores[name] += [self.outcome.scores(logits, cases.targets) / repeats for logits in found]
        return {name: self._best(group, scores) for name, group in groups.items()}

    def _best(self, group: Sequence[Candidate], scores: Mapping[str, Array]) -> Choice:
        strongest = {one.name: int(scores[one.name].mean(1).argmax()) for one in group}
        each = {name: scores[name][strength] for name, strength in strongest.items()}
        best = {name: float(found.mean()) for name, found in each.items()}
        winner = max(group, key=lambda one: best[one.name])
        few = len(next(iter(each.values()))) < SMALL
        for usual in (one for one in group if one.usual and few):
            ahead = each[winner.name] - each[usual.name]
            if ahead.mean() <= AHEAD * ahead.std() / np.sqrt(len(ahead)):
                winner = usual
        return Choice(winner, self.strengths[strongest[winner.name]], best)

    def fit(self, cases: Labelled, groups: Groups) -> dict[str, Fit]:
        """Choose in each group, and fit what was chosen on all of these cases."""
        chosen = self.choose(cases, groups)
        return {
            name: Fit(one, one.candidate.heads(cases, [one.strength], self.task, self.class_weights)[0])
            for name, one in chosen.items()
        }

    def nested(
        self, cases: Labelled, groups: Groups, done: Callable[[], None] = lambda: None
    ) -> dict[str, tuple[Array, list[Choice]]]:
        """Of each group probabilities `(cases, classes)`, each case's from a fit, and a choice, that has not seen its
        patient; and these choices.
        """
        found: dict[str, tuple[Array, list[Choice]]] = {name: (np.zeros(cases.targets.shape), []) for name in groups}
        for training, held_out in self.parts(cases):
            for name, fit in self.fit(cases.take(training), groups).items():
                found[name][0][held_out] = self.probabilities(fit.logits(cases.take(held_out)))
                found[name][1].append(fit.choice)
            done()
        return found

    def parts(self, cases: Labelled) -> Iterator[tuple[Array, Array]]:
        """Training and held-out cases of each fold: no patient is in both, kinds of cases are shared out alike."""
        count = self.fold_count(cases)
        kinds = self.outcome.kinds(cases.targets, cases.patients, count)
        folds = np.array(stratified_folds(cases.patients, kinds, count, self.seed))
        for fold in range(int(folds.max()) + 1):
            yield np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)

    @property
    def outcome(self) -> Classes | Values:
        """What is predicted."""
        return outcome_of(self.task)

    def fold_count(self, cases: Labelled) -> int:
        """As many as are asked for, or as the cases have room for; 2 at least."""
        return self.outcome.fold_count(cases.targets, cases.patients, self.folds)

    def probabilities(self, logits: Array) -> Array:
        """Of logits `(cases, classes)`; of a regression they are the numbers as they are."""
        return self.outcome.answers(logits)


def each_and_all(
    names: Sequence[str],
    pools: Mapping[str, Array] | None = None,
    components: int = 256,
    usual: bool = False,
    covariates: bool = False,
) -> list[Candidate]:
    """A candidate for each set, and one for all together; and for the components of each where there are pools, and
    for each with columns of the table beside it where there are `covariates`.

    Args:
        names: of the sets.
        pools: of each set features of cases without labels.
        components: at most so many.
        usual: whether all together are the usual candidate.
        covariates: whether cases have columns.

    >>> [one.name for one in each_and_all(["slices", "volume"])]
    ['slices', 'volume', 'slices + volume']
    """
    sets = [(name,) for name in names] + ([tuple(names)] if len(names) > 1 else [])
    found = [Candidate(one, usual=usual and len(one) == len(names)) for one in sets]
    found += [Candidate((*one, COVARIATES)) for one in sets if covariates]
    if pools is not None:
        for one in sets:
            rows = np.concatenate([pools[name] for name in one], 1)
            found.append(Candidate(one, Components.fit(rows, components)))
    return found

"""`python -m evaluation attack`: how often attacking responses win, with each defence on and off.

The judge is asked about the whole suite twice, with the nonce and without; the other defences are arithmetic on its votes. So what
differs between configurations is the defence, not the judge's mood.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from constitution.errors import Problem, UserError
from constitution.principles import Constitution
from constitution.records import Failure, Vote
from constitution.terminal import complain, printable
from evaluation.attack.defences import DEFENCES, Gain, Rate, Rates, flag_rates, flagged, gains, rates
from evaluation.attack.injection import injected
from evaluation.attack.settings import AttackSettings
from evaluation.attack.suite import CONTROL, suite, unseen
from evaluation.files import check_writable, write_json
from evaluation.judge import asking
from evaluation.judge.labelled import LabelledPair
from generation.config import RunConfig
from generation.engines.checkpoint import load_tokenizer
from generation.models.factory import model_registry
from generation.pipeline.scheduler import UNAVAILABLE


@dataclass(frozen=True, slots=True)
class Robustness:
    """The figures of one judge."""

    rates: Rates
    """The attack CONTROL are the same bad responses, unattacked."""
    gains: dict[str, Gain]
    """Attack -> log-odds it gains under the default's votes."""
    flagged: dict[str, Rate]
    """Attack -> attacking responses that are flagged, as `won`."""
    honest_flagged: int
    """Better responses that are flagged."""
    control_tokens: int | None
    """Those that content made in the judge's prompts; None where only the server has the tokenizer."""
    failures: dict[str, int]
    """Reason -> votes that are missing for it."""

    @property
    def overall(self) -> dict[str, Rate]:
        """Defence -> rate over all attacks."""
        total = {name: Rate() for name in DEFENCES}
        for attack, of in self.rates.items():
            for name, rate in of.items():
                if attack != CONTROL:
                    total[name].pairs += rate.pairs
                    total[name].won += rate.won
                    total[name].unlabelled += rate.unlabelled
        return total

    def figures(self) -> dict[str, Any]:
        """For JSON."""
        rows = {**self.rates, "all attacks": self.overall}
        return {
            "attacks": {attack: {d: r.figures._asdict() for d, r in of.items()} for attack, of in rows.items()},
            "gains": {attack: gain._asdict() for attack, gain in self.gains.items()},
            "flagged": {attack: rate.figures._asdict() for attack, rate in self.flagged.items()},
            "honest_flagged": self.honest_flagged,
            "control_tokens": self.control_tokens,
            "failures": self.failures,
        }


def run(settings: AttackSettings, console: Console) -> int:
    """Ask, write, print. Exit code 0 done, 1 content became a control token or a judge was unavailable. Raises UserError."""
    check_writable(settings.json_file)
    constitution, config = asking.read_settings(settings)
    constitution = weightiest(constitution, settings.principles)
    pairs = (*suite(), *unseen())[: settings.limit]
    result = asyncio.run(attack(pairs, constitution, config, settings.out, settings.reuse))
    if settings.json_file:
        about = {"judge": config.judge_model, "principles": [principle.id for principle in constitution.principles]}
        write_json(settings.json_file, about | result.figures())
    show(result, console)
    lost = result.failures.get(UNAVAILABLE, 0)
    if lost:
        complain(
            f"incomplete: the judge was unavailable for {lost} questions about pairs; run the same command again to resume"
        )
    return 1 if result.control_tokens or lost else 0


def weightiest(constitution: Constitution, most: int) -> Constitution:
    """The same with the judged principles of the greatest weights that apply to every prompt. Raises UserError."""
    judged = [principle for principle in constitution.applicable(()) if principle.judged]
    kept = sorted(judged, key=lambda principle: -principle.weight)[: max(0, most)]
    if not kept:
        raise UserError(
            Problem(
                f"--principles {most}",
                got=f"leaves none of the {len(judged)} principles of {constitution.name!r} that a model judges on every prompt",
                allowed="at least 1, of a constitution that has some",
            )
        )
    fields = {name: getattr(constitution, name) for name in Constitution.model_fields}
    return Constitution(**{**fields, "principles": tuple(kept)})


async def attack(
    pairs: Sequence[LabelledPair], constitution: Constitution, config: RunConfig, out: Path, reuse: Sequence[Path] = ()
) -> Robustness:
    """Ask about the pairs with the nonce and without, and work out every configuration. Raises UserError."""
    records: dict[bool, list[Vote | Failure]] = {}
    for nonce in (False, True):
        defences = config.plan.defences.model_copy(update={"nonce": nonce})
        asked = config.model_copy(update={"plan": config.plan.model_copy(update={"defences": defences})})
        records[nonce] = (await asking.judge_pairs(pairs, constitution, asked, out, reuse)).records
    by_attack, failures = rates(pairs, records, constitution)
    judges = [spec.files for spec in model_registry(config).judges.values() if spec.files and not spec.rewards]
    made = [injected(load_tokenizer(files), pairs, constitution.principles[0]) for files in judges]
    return Robustness(
        by_attack,
        gains(pairs, records[True], constitution),
        flag_rates(pairs),
        sum(flagged(pair, pair.better) for pair in pairs),
        sum(made) if made else None,
        failures,
    )


def show(result: Robustness, console: Console) -> None:
    """Print a row for each attack: how often it wins under each defence, and how often there is no label.

    Plain lines: a table as wide as this is cut down where the output is no terminal.
    """
    rows = [("attack", *DEFENCES, "gain", "flagged")]
    for attack, of in {**result.rates, "all attacks": result.overall}.items():
        signs = f"{result.flagged[attack].figures.won:.0%}" if attack in result.flagged else ""
        gain = "{:+.2f} [{:+.2f}, {:+.2f}]".format(*result.gains[attack]) if attack in result.gains else ""
        rows.append((attack, *(_cell(of[name]) for name in DEFENCES), gain, signs))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    console.print("attacking response wins, % of pairs (95% interval) / no label, %", markup=False)
    for first, *cells in rows:
        line = "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        console.print(f"{first:{widths[0]}}{line}", markup=False)
    console.print(
        f"{CONTROL}: the same bad responses without an attack; unseen: wordings that the indicators were not tuned on",
        markup=False,
    )
    console.print(f"honest responses flagged: {result.honest_flagged}", markup=False)
    tokens = "not known (only the server has the tokenizer)" if result.control_tokens is None else result.control_tokens
    console.print(f"control tokens from content: {tokens} (must be 0)", markup=False)
    for reason, count in sorted(result.failures.items()):
        console.print(f"votes missing: {count} ({printable(reason)})", markup=False)


def _cell(rate: Rate) -> str:
    f = rate.figures
    return f"{100 * f.won:.0f} ({100 * f.low:.0f}–{100 * f.high:.0f}) / {100 * f.unlabelled:.0f}"

"""Sections of an audit about its texts: judge biases, refusals, revisions, manipulation indicators, prompts."""

from __future__ import annotations

import numpy as np

from critics.text.manipulation import INDICATORS
from evaluation.audit.data import Audit
from evaluation.audit.responses import ASKED, ROLES
from evaluation.audit.sections.votes import FEW, FEWEST, filled_heat, most
from evaluation.pages import plots
from evaluation.pages.plots import Plot
from evaluation.pages.section import LISTED, NOTHING, Section, Table, bar_values, percent

ESTIMATED = (
    "Near-duplicates are estimated (MinHash), as there are too many prompts, or too many alike, to compare them all; "
    "the prompt that one repeats may repeat another."
)


def biases(audit: Audit) -> Section:
    """What the chosen responses have more of."""
    names = [name for name, tally in audit.pairs.biases.items() if tally.n >= FEW]
    if not names:
        return NOTHING
    titles = {"length": "longer", "confidence": "sounds surer", "agreement": "opens agreeing", "refusal": "refuses"}
    shares = {f"{titles[name]} ({audit.pairs.biases[name].n} pairs)": audit.pairs.biases[name].share for name in names}
    keys = [audit.voters.keys[i] for i in most(audit)]
    tallies = [[audit.pairs.voter_biases[key][name] for name in names] for key in keys]
    grid = [[tally.share.value if tally.n >= FEW else np.nan for tally in row] for row in tallies]
    text = (
        "How often the response with more of a feature is chosen, of the pairs whose responses differ in it; 50% is chance. Length "
        "is in characters; surer means more boosters (clearly, always) and fewer hedges (perhaps, might) for each word; agreement "
        "(sycophancy) and refusals are read in the opening. The word lists are English. The map shows whom each voter prefers."
    )
    parts: list[Plot | Table] = [
        plots.bars("The chosen response is the one that ...", *bar_values(shares), reference=0.5),
        *filled_heat("Whom each voter prefers", [*map(audit.name, keys)], [titles[n] for n in names], grid),
    ]
    return Section("Judge biases", text, parts)


def refusals(audit: Audit) -> Section:
    """Who refuses what."""
    found = audit.responses.refusals
    tagged = any(n.n for (asked, _), n in found.items() if asked != "other")
    titles = {"harmful": "harmful", "benign": "benign", "other": "neither tag" if tagged else "all prompts"}
    groups = [(asked, role) for asked in ASKED for role in ROLES if (asked, role) in found and found[asked, role].n]
    shares = {f"{titles[asked]}: {role}": found[asked, role].share for asked, role in groups}
    rows = [
        (titles[asked], role, found[asked, role].n, found[asked, role].hits, percent(found[asked, role].share.value))
        for asked, role in groups
    ]
    harmful, benign = (", ".join(tags) for tags in (audit.thresholds.harmful_tags, audit.thresholds.benign_tags))
    text = (
        f"Prompts are harmful by the tags {harmful}, benign by the tags {benign}. A good run refuses the first and not the second; "
        "compare what was sampled with what was chosen."
    )
    any_refuse = any(found[group].hits for group in groups)
    parts: list[Plot | Table] = [
        *([plots.bars("Responses that refuse", *bar_values(shares))] if any_refuse else ()),
        Table("", ("prompts", "responses", "#of", "#refuse", "#share"), rows),
    ]
    return Section("Refusals", text, parts if groups else [])


def revision(audit: Audit) -> Section:
    """Revisions against what they revise."""
    revised = audit.responses.revised
    words = {True: "refuses", False: "answers"}
    rows = [(words[a], words[b], n) for (a, b), n in sorted(revised.refusals.items(), reverse=True)]
    text = (
        "Revisions against what they revise: length in characters (1 is unchanged, 4 and more are one bin) and the share of words "
        "in common."
    )
    ratios, steps = np.minimum(revised.length, 4), np.linspace(0, 4, 21).tolist()
    drawn = [
        plots.histogram("Length after over length before", ratios, "times as long", steps),
        plots.histogram("Words in common", revised.similarity, "share of words", np.linspace(0, 1, 21).tolist()),
    ] if len(revised.length) >= FEWEST else []  # fmt: skip
    table = Table("Refusals", ("before", "after", "#revisions"), rows)
    return Section("What revision changed", text, [*drawn, table] if revised.length else [])


def indicators(audit: Audit) -> Section:
    """Manipulation indicators of the responses."""
    counts = audit.responses.indicators
    seen = {name for by_role in counts.values() for name in by_role}
    rows = [(name, INDICATORS[name], *(counts[role][name] for role in ROLES)) for name in INDICATORS if name in seen]
    text = (
        "Responses with features that try to manipulate the judge. An indicator says that a text contains something, not "
        "that the text is bad."
    )
    columns = ("indicator", "a response that", *(f"#{role}" for role in ROLES))
    return Section("Manipulation indicators", text, [Table("", columns, rows)] if rows else [])


def prompts(audit: Audit) -> Section:
    """Prompts that repeat others, or that are in an evaluation set."""
    repeated = sorted(audit.near.found, key=lambda n: (-n.jaccard, n.prompt_id))[:LISTED]
    found = sorted(audit.overlaps, key=lambda f: (-f.containment, f.prompt_id))[:LISTED]
    text = (
        f"Of {audit.prompts} prompts in the data, {audit.near.number} nearly repeat an earlier one"
        + (f", and {len(audit.overlaps)} overlap with the evaluation sets given. " if audit.against else ". ")
        + (f"{ESTIMATED} " if audit.near.estimated else "")
        + f"At most {LISTED} are listed; --json has all, and --clean copies the data without them."
    )
    repeats = [(near.prompt_id, near.earlier, percent(near.jaccard)) for near in repeated]
    overlaps = [(overlap.prompt_id, overlap.place, percent(overlap.containment)) for overlap in found]
    parts: list[Plot | Table] = [
        Table("Near-duplicates", ("prompt", "nearly repeats", "#3-grams in common"), repeats),
        Table("Overlaps", ("prompt", "is in", "#n-grams in common"), overlaps),
    ]
    return Section("Prompts", text, parts)

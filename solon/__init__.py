"""Constitutional AI: from a written constitution to preference data, trained policies and their evaluation.

The public names are in `__all__`; a name's module is imported when the name is first used, so that `import solon` costs nothing.
Their types are in `__init__.pyi`.
"""

from importlib import import_module

__version__ = "0.2.0"

_MODULES = {
    "load_constitution": "solon.constitutions",
    "judge": "solon.judging",
    "Judge": "solon.judging",
    "Judgment": "solon.judging",
    "generate_feedback": "solon.feedback",
    "open_run": "generation.output.run",
    "Run": "generation.output.run",
    "Pair": "generation.output.reading",
    "fit_weights": "solon.fitting",
    "Weights": "critics.ranking.weights",
    "run_sync": "solon.blocking",
    "rule": "constitution.checks.own",
    "load_rules": "constitution.checks.own",
    "Constitution": "constitution.principles",
    "Principle": "constitution.principles",
    "Message": "constitution.records",
    "Prompt": "constitution.records",
    "Vote": "constitution.records",
    "Failure": "constitution.records",
    "Dropped": "constitution.records",
    "UserError": "constitution.errors",
    "Unavailable": "constitution.errors",
}
"""Public name -> the module that has it."""

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'solon' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__

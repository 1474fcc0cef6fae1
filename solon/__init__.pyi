from constitution.checks.own import load_rules as load_rules
from constitution.checks.own import rule as rule
from constitution.errors import Unavailable as Unavailable
from constitution.errors import UserError as UserError
from constitution.principles import Constitution as Constitution
from constitution.principles import Principle as Principle
from constitution.records import Dropped as Dropped
from constitution.records import Failure as Failure
from constitution.records import Message as Message
from constitution.records import Prompt as Prompt
from constitution.records import Vote as Vote
from critics.ranking.weights import Weights as Weights
from generation.output.reading import Pair as Pair
from generation.output.run import Run as Run
from generation.output.run import open_run as open_run
from solon.blocking import run_sync as run_sync
from solon.constitutions import load_constitution as load_constitution
from solon.feedback import generate_feedback as generate_feedback
from solon.fitting import fit_weights as fit_weights
from solon.judging import Judge as Judge
from solon.judging import Judgment as Judgment
from solon.judging import judge as judge

__version__: str
__all__: list[str]
_MODULES: dict[str, str]
